"""Deleted users leave reports and the quarantine; other users stay."""

import pandas as pd

from flows.forgetting.text_files import forget_in_quarantine, forget_in_report, forget_in_text
from recsys.user_digest import digest_of
from training.read.quarantine import named
from training.report import page
from training.report.page import Report, Section, Table

GONE, STAYS = "zq7 <b>'ü' & co", "zq7"
DIGESTS = {digest_of(GONE)}


def test_a_report_loses_slates_and_cells(tmp_path):
    """An id with marks of HTML is found as the page has it; a sentence keeps the row's number."""
    cells, rows = pd.Series([GONE, STAYS]), [["1. A film", "2. Another"]]
    slates = [Table(f"User {user}", [], rows, "Next: X.", prose=True) for user in (GONE, STAYS)]
    gate = Table("The gate", [], [["failed", f"The column 'who': {named(cells)}."]], "", prose=True)
    report = Report("Run", "today", "", None, [Section("Users", "", slates), gate])
    file = page.write(report, tmp_path / "report.html")
    assert forget_in_report(file, DIGESTS) == 2
    text = file.read_text()
    assert "<p>deleted</p>" in text
    assert "row 0 (deleted) and row 1 &#39;zq7&#39;" in text
    assert f"<b>User {STAYS}</b>" in text
    assert "&lt;b&gt;" not in text
    assert text.count("A film") == 1
    assert forget_in_report(file, DIGESTS) == 0


def test_the_quarantine_loses_rows(tmp_path):
    """A file of values has no users and stays."""
    file, values = tmp_path / "interactions.csv", tmp_path / "interactions-values-price.csv"
    pd.DataFrame({"user_id": [GONE, STAYS, ""], "reason": "bad"}).to_csv(file, index_label="row")
    values.write_text("row,price,reason\n0,x,no number\n")
    assert (forget_in_quarantine(file, DIGESTS), forget_in_quarantine(values, DIGESTS)) == (1, 0)
    assert pd.read_csv(file, keep_default_na=False)["user_id"].tolist() == [STAYS, ""]
    assert pd.read_csv(file)["row"].tolist() == [1, 2]


def test_cells_as_exports_write_them(tmp_path):
    """7.0 and ` 7` are the user 7. An empty, a half-written and a removed file end no run."""
    file, empty, torn = (tmp_path / f"{name}.csv" for name in ("rows", "empty", "torn"))
    pd.DataFrame({"user_id": ["7.0", " 7", "7", "7.5", "70"]}).to_csv(file, index_label="row")
    empty.touch()
    torn.write_text('row,user_id\n0,"7')
    assert [forget_in_text(path, {digest_of(7)}) for path in (file, empty, torn, tmp_path / "gone.csv")] == [3, 0, 0, 0]
    assert pd.read_csv(file)["user_id"].tolist() == [7.5, 70]
