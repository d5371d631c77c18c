"""`python -m training advise --data DIR` on planted logs: taste that turns with each visit asks for realtime, taste
that never turns for batch. The second run has the towers of the first.
"""

import json

import pytest

from tests.sample_data import planted_taste
from training.__main__ import main
from training.advisor.curves import Measurement
from training.advisor.replay import AGES, PARTS
from training.encode.interaction_log import DAY

QUICK = ["tower.epochs=4", "tower.dim=32", "tower.hidden=64", "ranker.queries=1000", "threads=1"]


@pytest.fixture
def advise(tmp_path, monkeypatch, capsys):
    """Measure a planted log; the figures of --json, and what the command printed."""
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path / "home"))

    def advise(**taste):
        folder, target = planted_taste.write(tmp_path / "data", **taste), tmp_path / "advice.json"
        sets = [argument for change in QUICK for argument in ("--set", change)]
        arguments = ["--data", folder, "--config", "small", "--queries", "300", "--tolerance", "0.2", "--json", target]
        code = main(["advise", *map(str, arguments), *sets])
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return json.loads(target.read_text()), printed

    return advise


def test_taste_that_turns_within_an_hour_asks_for_realtime(advise, tmp_path):
    """A list of fifteen minutes does not know the visit. The curves are kept, and so are the evaluation's models."""
    figures, printed = advise(turns=True)
    assert figures["surfaces"]["default"]["mode"] == "realtime", printed.out
    for step in ("towers before the test", "replay of the test", "replay with older item tables"):
        assert f"\n{step}: " in f"\n{printed.err}"
    assert "Trained models were replayed on" in printed.out
    measured = Measurement.read(tmp_path / "home" / "freshness_curves.json")
    assert measured.exact_times
    for what in PARTS:
        assert measured.curve(what).ages_s == AGES
    assert measured.curve("model").ages_s == (DAY, 7 * DAY)
    kept = {path: path.stat().st_mtime for path in (tmp_path / "home" / "stages").iterdir()}
    assert len(kept) == 3  # two first stages and a ranker
    again, _ = advise(turns=True)
    assert {path: path.stat().st_mtime for path in (tmp_path / "home" / "stages").iterdir()} == kept
    assert again["measurement"] == figures["measurement"]


def test_taste_that_never_turns_asks_for_batch(advise):
    """A list of a day is as good as one that is made at the request."""
    figures, printed = advise(turns=False)
    assert figures["surfaces"]["default"]["mode"] == "batch", printed.out
    assert not any("realtime: " in line for line in figures["misfits"])
