"""The knee: the highest rate that holds, by bracketing and bisection."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, sqrt

STEP = 1.055
"""A knee is known to so much."""

GROWTH = 1.5
LEAST, MOST = 5.0, 20_000.0
"""Requests a second between which it is looked for."""


def knee(holds: Callable[[float], bool], start: float, step: float = STEP) -> float:
    """The highest rate that held, within a step of one that did not; 0 where none did.

    holds: one probe, with chance in it: what counts is what two of them say alike, of three at most.
    """
    low, high, rate = 0.0, inf, start
    while LEAST <= rate <= MOST and high > step * low:
        if _twice(holds, rate):
            low = rate
        else:
            high = rate
        rate = round(low * GROWTH if high == inf else sqrt(low * high) if low else high / GROWTH)
        if rate in (low, high):
            break
    return low


def _twice(holds: Callable[[float], bool], rate: float) -> bool:
    first, second = holds(rate), holds(rate)
    return first if first == second else holds(rate)
