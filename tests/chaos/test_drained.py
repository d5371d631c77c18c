"""SIGTERM under load; `make chaos` sends it twenty times."""

from tests.chaos import drained
from tests.chaos.served import Served


def test_a_stop_loses_nothing_that_was_accepted(pair, tmp_path):
    """Both doors: answered, or told that nobody is there; not ready first, every slate logged, and it ends in time."""
    drains = drained.Drains()
    patient = {"TANDEM_DEADLINE_MS": "5000"}  # whatever else runs on this machine
    with Served(tmp_path, pair, TANDEM_DRAIN_SECONDS="0.5", **drained.LOGGED, **patient) as world:
        drained.drain(world, drains, 2.0, 0.5, rate=10)
    for outcome in drained.judged(world, drains):
        assert outcome.passed, outcome
        assert outcome.requests > 20
