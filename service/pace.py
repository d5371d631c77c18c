"""How long requests gather before a batch leaves: not at all while few come, longer the more do, or the busier it is.

A hop costs the same for one query as for ten. While few come that is nobody's loss, and waiting for company would be;
where several come within milliseconds, or near the end of what the cores can do, it is worth waits. Nothing is told,
all is measured: how many requests came in the last second, in which share of it a batch was under way, and how many
queries were here at once. Nobody waits for company that can't come: where clients ask again once they are answered,
those who are here are all there are, and two of them have a core each.
"""

from __future__ import annotations

import math

from service.settings import Settings

MEMORY_SECONDS = 1.0
"""Time constant of what came, of how many were here and of what was busy."""

FEW, MANY = 1.0, 3.0
"""Requests that come within the longest wait: up to FEW nobody waits for them, from MANY on it is waited. Between them
the wait grows with their number."""

ENOUGH = 10
"""Queries that wait for no more of them. A batch takes .5 ms of CPU whatever is in it and 1.4 a query (two cores with
VNNI, 100,000 items): of what ten take, that is a thirtieth."""

PAIR = 2
"""Queries that wait for nobody, however many come or busy it is, where no more were here at once of late (three are
remembered for .4 s, 100 for four). Two cores work at them side by side, and one of a pair that leaves together is done
after the other: two callers who ask again once they are answered get what they get without waits, and got .82 of it
where they waited (docs/decisions.md). Of one process; on one core, or in several processes, a pair would be worth less.
"""

IDLE = 0.4
"""Busy share up to which nobody waits because of it: batches that rarely meet have nothing to merge."""

STEEP = 3
"""Power by which waits grow with what is busy beyond that."""


class Pace:
    """The least time between two dispatches, by the loop's clock."""

    def __init__(self, most: float, least: float = 0.0) -> None:
        """most: seconds, where many come or a batch is always under way; least: however few are here."""
        self._most = most
        self._least = least
        self._share = 0.0
        self._busy = False
        self._at = 0.0
        self._rate = 0.0
        self._peak = 0.0
        self._counted = 0.0

    @classmethod
    def of(cls, settings: Settings) -> Pace:
        """As they have it."""
        return cls(settings.merge_ms / 1000, settings.merge_least_ms / 1000)

    def count(self, now: float, here: int, *, first: bool = True) -> None:
        """A query came; here: how many are with it, waiting and under way; first: of its request."""
        kept = self._kept(now)
        self._rate = kept * self._rate + first / MEMORY_SECONDS
        self._peak = max(here, kept * self._peak)
        self._counted = now

    def mark(self, now: float, busy: bool) -> None:
        """From now on some batch is under way, or none is."""
        self._share, self._at, self._busy = self.share(now), now, busy

    def rate(self, now: float) -> float:
        """Requests a second that came of late."""
        return self._kept(now) * self._rate

    def share(self, now: float) -> float:
        """How busy it was of late: 0 to 1."""
        kept = math.exp((self._at - now) / MEMORY_SECONDS)
        return kept * self._share + (1 - kept) * self._busy

    def seconds(self, now: float, waiting: int, here: int) -> float:
        """The least time from one dispatch to the next, where so many queries wait, of so many that are here."""
        kept = self._kept(now)
        peak = kept * self._peak
        if peak <= PAIR:
            return self._least
        by_share = (max(0.0, self.share(now) - IDLE) / (1 - IDLE)) ** STEEP
        by_rate = 0.0
        if waiting < ENOUGH and here < peak:
            by_rate = min(1.0, max(0.0, kept * self._rate * self._most - FEW) / (MANY - FEW))
        return max(self._least, self._most * max(by_rate, by_share))

    def _kept(self, now: float) -> float:
        return math.exp((self._counted - now) / MEMORY_SECONDS)
