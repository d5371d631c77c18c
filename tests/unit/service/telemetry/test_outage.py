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


def test_an_outage_is_one_line_when_it_begins_and_one_when_it_is_over(outage, now, caplog):
    """With the reason, its length, and the number of answers without the dependency. A second outage has its own
    lines.
    """
    outage.worked()
    for _ in range(1_000):
        outage.failed("Connection refused")
        outage.without()
    assert outage.away
    now[0] += 61.25
    outage.worked()
    now[0] += CALM_SECONDS
    outage.worked()
    assert not outage.away
    outage.worked()
    outage.failed("No answer within 200 ms.")
    assert lines(caplog) == [
        "Redis is away: Connection refused. Answers are made without histories.",
        "Redis is back after 61.2 s. 1,000 answers went without it.",
        "Redis is away: No answer within 200 ms. Answers are made without histories.",
    ]


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
