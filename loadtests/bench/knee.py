"""The knee: the highest rate that holds, by bracketing and bisection."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from math import inf, sqrt

STEP = 1.055
"""A knee is known to so much."""

GROWTH = 1.5
LEAST, MOST = 5.0, 20_000.0
"""Requests a second between which it is looked for."""


Holds = Callable[[float], bool]
"""One probe of a rate, with chance in it."""


def knee(holds: Holds, start: float, step: float = STEP) -> float:
    """The highest rate that held, within a step of one that did not; 0 where none did."""
    return knees({"": holds}, {"": start}, step)[""]


def knees(holds: Mapping[str, Holds], starts: Mapping[str, float], step: float = STEP) -> dict[str, float]:
    """Of each, a probe of one after a probe of another, so that all have the same minutes. starts: first probes."""
    searches = {name: _search(starts[name], step) for name in holds}
    asked = {name: next(search) for name, search in searches.items()}
    found: dict[str, float] = {}
    while asked:
        for name, rate in list(asked.items()):
            try:
                asked[name] = searches[name].send(holds[name](rate))
            except StopIteration as end:
                found[name] = end.value
                del asked[name]
    return {name: found[name] for name in holds}


def _search(start: float, step: float) -> Generator[float, bool, float]:
    """Rates to probe; is told of each whether it held, and returns the knee."""
    low, high, rate = 0.0, inf, start
    while LEAST <= rate <= MOST and high > step * low:
        if (yield from _twice(rate)):
            low = rate
        else:
            high = rate
        rate = round(low * GROWTH if high == inf else sqrt(low * high) if low else high / GROWTH)
        if rate in (low, high):
            break
    return low


def _twice(rate: float) -> Generator[float, bool, bool]:
    """What two probes say alike, of three at most."""
    first, second = (yield rate), (yield rate)
    return first if first == second else (yield rate)
