"""An evaluation measures the models twice: each query at its own time, and at the time of the user's newest event."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.flows.ring_dataset import START, write
from training.__main__ import main
from training.evaluation.protocols import PROTOCOLS

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
