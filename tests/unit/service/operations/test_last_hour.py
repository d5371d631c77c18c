"""The figures of the last hour, from counters of a known process."""

import math

import pytest

from service.operations.figures import quantile

BOUNDS = (0.05, 0.1, 0.2, math.inf)


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
