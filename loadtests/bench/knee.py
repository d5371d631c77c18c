"""Search for a server's knee, the highest request rate at which it still answers well, by bracketing and bisection.

The caller's function sends a load and returns whether the server held the rate. Two of at most three loads decide.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from math import inf, sqrt

STEP = 1.055
"""The precision of a knee, as a factor."""

START, GROWTH = 400.0, 1.5
LEAST, MOST = 5.0, 20_000.0
"""Requests a second: the first probe, and the limits of the search."""


Holds = Callable[[float], bool]
"""One probe of a rate. Two probes of the same rate may differ."""


def knees(holds: Mapping[str, Holds]) -> dict[str, float]:
    """By peer, the highest rate that held, within a STEP of a rate that did not; 0 if no rate held.

    The probes of the peers take turns.
    """
    searches = {name: _search() for name in holds}
    rates = {name: next(search) for name, search in searches.items()}
    found: dict[str, float] = {}
    while rates:
        for name, rate in list(rates.items()):
            try:
                rates[name] = searches[name].send(holds[name](rate))
            except StopIteration as end:
                found[name] = end.value
                del rates[name]
    return {name: found[name] for name in holds}


def _search() -> Generator[float, bool, float]:
    """Yield the rates to probe, receive whether each held, and return the knee."""
    low, high, rate = 0.0, inf, START
    while LEAST <= rate <= MOST and high > STEP * low:
        if (yield from _twice(rate)):
            low = rate
        else:
            high = rate
        rate = round(low * GROWTH if high == inf else sqrt(low * high) if low else high / GROWTH)
        if rate in (low, high):
            break
    return low


def _twice(rate: float) -> Generator[float, bool, bool]:
    """The result that two probes share, of three at most."""
    first, second = (yield rate), (yield rate)
    return first if first == second else (yield rate)
