"""The figures of the last hour, from counters of a known process."""

import asyncio
import math

import pytest

from service.operations.counters import Counters
from service.operations.figures import figures, quantile
from service.operations.last_hour import HOUR, SAMPLE_SECONDS, Readings

BOUNDS = (0.05, 0.1, 0.2, math.inf)
READINGS = 2 * int(HOUR / SAMPLE_SECONDS)


def counted(at, served=(0, 0, 0, 0), codes=None, lacking=(), seconds=0.0):
    """Counters at a time. served: answers within each bound. codes: further requests by their code."""
    counters = Counters(at)
    for bound, count in zip(BOUNDS, served, strict=True):
        labels = {"verb": "recommend", "code": "200", "le": str(bound)}
        counters.add("tandem_request_seconds_bucket", labels, count)
    for code, count in {"200": served[-1], **(codes or {})}.items():
        counters.add("tandem_request_seconds_count", {"verb": "recommend", "code": code}, count)
    for stage, count in lacking:
        counters.add("tandem_degraded_total", {"stage": stage, "surface": "default"}, count)
    counters.add("tandem_slate_seconds_sum", {"surface": "default", "mode": "hybrid"}, seconds)
    counters.add("tandem_slates_limit", {}, 128.0)
    return counters


@pytest.mark.parametrize(
    ("share", "value"),
    [
        (0.25, 0.05),  # a quarter of the answers is in the first bucket
        (0.5, 0.075),  # half of them is in the middle of the second
        (0.99, 0.2),  # above the last finite bound
    ],
)
def test_a_quantile_lies_on_the_line_within_its_bucket(share, value):
    """As Prometheus' histogram_quantile computes it."""
    assert quantile(share, dict(zip(BOUNDS, (10, 30, 36, 40), strict=True))) == pytest.approx(value)
    assert quantile(share, {}) is None
    assert quantile(share, dict.fromkeys(BOUNDS, 0)) is None


def test_figures_are_those_between_two_readings():
    """What was counted before has no effect."""
    before = counted(100.0, (7, 7, 7, 7), {"500": 3}, [("ranking", 2)], seconds=50.0)
    codes = {"500": 4, "503": 1, "429": 8, "422": 2, "UNAVAILABLE": 1}
    after = counted(110.0, (47, 87, 87, 87), codes, [("ranking", 10), ("retrieval", 3), ("overload", 4)], seconds=70.0)
    found = figures("recommend", before, after)
    assert (found.seconds, found.rate) == (10.0, (80 + 1 + 1 + 8 + 2 + 1) / 10)
    assert (found.p50, found.p99) == (pytest.approx(0.05), pytest.approx(0.099))
    assert (found.failed, found.refused) == (3 / 93, 8 / 93)
    assert (found.lacking, found.overload) == (8 / 80, 4 / 80)
    assert (found.in_flight, found.limit) == (2.0, 128.0)


def test_an_hour_is_kept_with_a_point_for_each_minute():
    """Of two hours the last one is left; the figures of now are those of five minutes."""
    taken = iter(counted(SAMPLE_SECONDS * n, (n, n, n, n)) for n in range(READINGS))
    readings = Readings(1, lambda: next(taken))
    assert readings.last_hour().minutes == []
    for _ in range(READINGS):
        asyncio.run(readings.add())
    hour = readings.last_hour()
    assert hour.recent["recommend"].seconds == 300.0
    assert hour.recent["recommend"].rate == pytest.approx(1 / SAMPLE_SECONDS)
    assert hour.recent["events"].rate == 0.0
    assert 59 <= len(hour.minutes) <= 61
    assert sum(each.seconds for each in hour.minutes) == pytest.approx(HOUR, abs=60)
    assert all(each.rate == pytest.approx(1 / SAMPLE_SECONDS) for each in hour.minutes)
