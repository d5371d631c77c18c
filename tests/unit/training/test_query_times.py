"""An evaluation measures the models twice: each query at its own time, and at the time of the user's newest event."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recsys.kernels import time_features
from recsys.types import CLOCK
from tests.flows.ring_dataset import START, log_of, quick, ring, write
from training import recipe
from training.__main__ import main
from training.evaluation.protocols import PROTOCOLS
from training.evaluation.scorers import at_newest_event
from training.evaluation.split import split

DAY, OPENINGS, ITEMS = 86_400, 15, 60
MODELS = ("tower", "two_stage")
TRAINING = """
[training]
threads = 1
tower = { dim = 16, hidden = 32, batch = 16, epochs = 16, negatives = 64 }
ranker = { epochs = 4, minimum = 50, doubtful = 0 }
"""


def sessions(users=120, events=8):
    """A log in which the wait decides: an opening item comes a day after the event before, others in its second."""
    rng = np.random.default_rng(3)
    waits = rng.random((users, events)) < 0.5
    openings = rng.permuted(np.tile(np.arange(OPENINGS), (users, 1)), axis=1)[:, :events]
    others = rng.permuted(np.tile(np.arange(OPENINGS, ITEMS), (users, 1)), axis=1)[:, :events]
    times = START + rng.integers(0, DAY, (users, 1)) + np.cumsum(waits, axis=1) * DAY
    frame = pd.DataFrame({"user_id": np.repeat(np.arange(users), events)})
    frame = frame.assign(item_id=np.where(waits, openings, others).ravel(), timestamp=times.ravel())
    return frame.sort_values("timestamp", kind="stable")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_command_reports_both_times(tmp_path, monkeypatch, capsys, protocol):
    """Same models, same targets: at the earlier time the models do not know which wait ended."""
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "80")
    data, table = write(tmp_path / "sessions", sessions()), tmp_path / "table.json"
    (data / "dataset.toml").write_text((data / "dataset.toml").read_text() + TRAINING)
    assert main(["evaluate", "--data", str(data), "--protocol", protocol, "--json", str(table)]) == 0
    rows, shown = json.loads(table.read_text())["rows"], capsys.readouterr().out
    for model in MODELS:
        own, before = rows[model], rows[f"{model}_event_before"]
        assert before["queries"] == own["queries"]
        assert f"{model}_event_before" in shown
        if protocol != "horizon":  # a query of horizon has its own time where the test begins, not a target's
            assert own["recall@10"] > before["recall@10"] + 0.1, model
    assert "each query at the time of the user's newest event" in " ".join(shown.split())


def test_both_times_agree_where_an_event_shares_its_second_with_the_one_before():
    """Every figure is the same if all events of a user have one time."""
    frame = ring(users=150)
    frame["timestamp"] = START + 60 * frame["user_id"]
    parts, run = split(log_of(frame), quick(), "loo"), recipe.TrainingRun(quick())
    rows = recipe.evaluate(parts, recipe.train_ranker(parts, run), run, event_before=True).rows
    for model in MODELS:
        assert rows[f"{model}_event_before"].items() >= rows[model].items()
    assert rows["two_stage"]["recall@10"] > 0.5


def test_only_the_time_of_a_query_moves():
    """History and columns stay, the clock moves with the time; without an event, or without a clock, nothing moves."""
    log = log_of(ring(users=20))
    own = log.histories(np.array([len(log) - 1, 0]))  # the first event of the log has no event before
    moved = at_newest_event(own)
    assert moved.now.tolist() == [own.times[0, -1], own.now[1]]
    assert moved.context[:, :CLOCK].tolist() == time_features.clock(moved.now).tolist()
    assert not np.array_equal(moved.context, own.context)
    untimed = at_newest_event(replace(own, context=np.zeros_like(own.context)))
    assert not untimed.context.any()
    for kept in ("items", "times", "types"):
        assert np.array_equal(getattr(moved, kept), getattr(own, kept))
