"""`python -m training generate` and `evaluate` on a small dataset: a complete table, progress, and wrong targets."""

import json

import pytest

from recsys.errors import DatasetError
from training.__main__ import checked, main


def test_three_columns_of_text_train_and_are_evaluated(tmp_path, capsys):
    """A log of ids and times without an items table has a complete table; each step has a line on stderr."""
    assert main(["generate", "--shape", "plain", "--out", str(tmp_path), "--interactions", "5k", "--items", "400"]) == 0
    target = tmp_path / "table.json"
    arguments = ["--config", "small", "--data", str(tmp_path), "--json", str(target)]
    assert main(["evaluate", *arguments]) == 0, capsys.readouterr().err
    table = json.loads(target.read_text())
    assert table["queries"] > 0
    for row in ("popularity", "tower", "union", "two_stage"):
        assert 0 <= table["rows"][row]["recall@10"] <= 1
    chance = 10 / table["items"]
    assert table["rows"]["two_stage"]["recall@10"] > 3 * chance
    lines = capsys.readouterr().err
    for step in ("towers before the labels", "ranker on the labels", "baselines", "evaluation"):
        assert f"\n{step}: " in f"\n{lines}"


@pytest.mark.parametrize("option", ["--json", "--report"])
def test_a_folder_is_no_file_to_write(tmp_path, option):
    """A folder as the target is refused before the work, with a sentence."""
    with pytest.raises(DatasetError, match=f"{option} names .*, which is a folder"):
        checked(tmp_path, option)
