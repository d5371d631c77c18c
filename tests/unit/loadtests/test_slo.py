"""The gate of the load test."""

import pytest

from loadtests.slo import Slo
from loadtests.tally import Outcome, Tally


def tally(milliseconds, failed=0, degraded=0):
    counted = Tally()
    for index, value in enumerate(milliseconds):
        outcome = Outcome.FAILED if index < failed else Outcome.DEGRADED if index < degraded else Outcome.WHOLE
        counted.add(index / 50, value, outcome)
    return counted


SLO = Slo(rate=50, deadline_ms=500, p50_ms=50, p99_ms=100, error_share=0.0, degraded_share=0.1)


def test_a_run_within_every_promise_holds():
    """All green."""
    assert SLO.judge(tally([10.0] * 100)).held


@pytest.mark.parametrize(
    ("run", "broken"),
    [
        (tally([60.0] * 100), ["p50 ms"]),
        (tally([10.0] * 98 + [200.0] * 2), ["p99 ms"]),
        (tally([10.0] * 100, failed=1), ["error share"]),
        (tally([10.0] * 100, degraded=11), ["degraded share"]),
    ],
)
def test_each_promise_can_break_alone(run, broken):
    """The verdict names the line."""
    verdict = SLO.judge(run)
    assert not verdict.held
    assert [line.name for line in verdict.lines if not line.held] == broken


def test_a_run_without_requests_holds_nothing():
    """Silence is no success."""
    assert not SLO.judge(Tally()).held


def test_the_committed_promises_can_be_read():
    """slo.toml has every line the gate needs."""
    assert Slo.read().p99_ms > 0
