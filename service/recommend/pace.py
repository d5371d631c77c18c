"""How long requests gather before a batch leaves: not at all while few come, longer the more do, or the busier it is.

A hop costs the same for one query as for ten. While few come that is nobody's loss, and waiting for company would be;
where several come within milliseconds, or near the end of what the cores can do, it is worth waits. Nothing is told,
all is measured: how many requests came in the last second, in which share of it a batch was under way, and how many
were here at once of late. Nobody waits for company that can't come: where clients ask again once they are answered,
those who are here are all there are, and two of them have a core each. A request for several users counts as one.
"""

from __future__ import annotations

import math

from service.settings import Settings

MEMORY_SECONDS = 1.0
"""Time constant of what came and of what was busy."""

CROWD_SECONDS = 0.1
"""How long it is remembered how many were here at once, and up to twice as long. A crowd that has gone is no company:
whoever came behind it waited for it for up to four seconds where it was forgotten little by little."""

FEW, MANY = 1.0, 3.0
"""Requests that come within the longest wait: up to FEW nobody waits for them, from MANY on it is waited. Between them
the wait grows with their number."""

ENOUGH = 8
"""Queries that wait for no more of them. A batch takes .5 ms of CPU whatever is in it and 1.4 a query (two cores with
VNNI, 100,000 items): of what eight take, that is a twenty-third."""

PLENTY = 12
"""Queries that wait for no more of them however busy it is. On average they come within the longest wait from 1,000 a
second on, where more of them save hardly any CPU: at 1,480 it is 1.01 times what it is with longer waits, and p50 22 ms
for 29 (docs/decisions.md)."""

PAIR = 2
"""Requests that wait for nobody, however many come or busy it is, where no more were here at once of late. Two cores
work at them side by side, and one of a pair that leaves together is done after the other: two callers who ask again
once they are answered get what they get without waits, and got .82 of it where they waited (docs/decisions.md). Of one
process; on one core, or in several processes, a pair would be worth less."""

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
        self._counted = 0.0
        self._most_here = self._most_before = 0  # since `_began`, and in as long before
        self._began = 0.0

    @classmethod
    def of(cls, settings: Settings) -> Pace:
        """As they have it."""
        return cls(settings.merge_ms / 1000, settings.merge_least_ms / 1000)

    def count(self, now: float, here: int) -> None:
        """A request came; here: how many are with it, waiting and under way."""
        self._rate = self.rate(now) + 1 / MEMORY_SECONDS
        self._counted = now
        since = now - self._began
        if since >= 2 * CROWD_SECONDS:
            self._most_before, self._most_here, self._began = 0, here, now
        elif since >= CROWD_SECONDS:
            self._most_before, self._most_here, self._began = self._most_here, here, self._began + CROWD_SECONDS
        elif here > self._most_here:
            self._most_here = here

    def mark(self, now: float, busy: bool) -> None:
        """From now on some batch is under way, or none is."""
        self._share, self._at, self._busy = self.share(now), now, busy

    def rate(self, now: float) -> float:
        """Requests a second that came of late."""
        return math.exp((self._counted - now) / MEMORY_SECONDS) * self._rate

    def share(self, now: float) -> float:
        """How busy it was of late: 0 to 1."""
        kept = math.exp((self._at - now) / MEMORY_SECONDS)
        return kept * self._share + (1 - kept) * self._busy

    def seconds(self, now: float, waiting: int, here: int) -> float:
        """The least time from one dispatch to the next, where so many queries wait and so many requests are here."""
        peak = self._peak(now)
        if peak <= PAIR or waiting >= PLENTY:
            return self._least
        by_share = (max(0.0, self.share(now) - IDLE) / (1 - IDLE)) ** STEEP
        by_rate = 0.0
        if waiting < ENOUGH and here < peak:
            by_rate = min(1.0, max(0.0, self.rate(now) * self._most - FEW) / (MANY - FEW))
        return max(self._least, self._most * max(by_rate, by_share))

    def _peak(self, now: float) -> int:
        """How many requests were here at once, at most, of late."""
        since = now - self._began
        if since < CROWD_SECONDS:
            return max(self._most_before, self._most_here)
        return self._most_here if since < 2 * CROWD_SECONDS else 0
