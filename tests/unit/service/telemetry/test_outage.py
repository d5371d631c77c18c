"""An outage has two lines in the log."""

import pytest

from service.telemetry.outage import CALM_SECONDS, Outage


@pytest.fixture
def now():
    return [100.0]


@pytest.fixture
def outage(now):
    return Outage("Redis", "Answers are made without histories.", lambda: now[0])


def lines(caplog):
    return [record.getMessage() for record in caplog.records]


def test_alternating_failures_and_successes_are_one_outage(outage, now, caplog):
    """A call that began before the end may fail after it."""
    for _ in range(100):
        outage.failed("gone")
        outage.worked()
        now[0] += CALM_SECONDS / 2
        outage.worked()
    assert len(lines(caplog)) == 1
    now[0] += CALM_SECONDS
    outage.worked()
    assert lines(caplog)[1:] == [f"Redis is back after {99 * CALM_SECONDS / 2:.1f} s."]
