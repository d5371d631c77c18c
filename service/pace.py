"""How long batches keep from each other: nothing while the process is mostly idle, more the busier it is.

A hop costs the same for one query as for ten. While the cores are idle that is nobody's loss, and waiting for company
would be; near the end of what they can do, it is worth long waits. Busy is measured, not told: it is the share of the
last second in which a batch was under way. Who would rather have the CPU than the milliseconds sets the least of it.
"""

from __future__ import annotations

import math

from service.settings import Settings

MEMORY_SECONDS = 1.0
"""Of what was busy, e-fold."""

IDLE = 0.4
"""Busy share up to which nobody waits but for the least: batches that rarely meet have nothing to merge."""


STEEP = 3
"""Power by which waits grow with what is busy beyond that. In the middle of the load waits are paid in latency and save
little, since who waits for one of the batches under way is merged anyway (docs/decisions.md)."""


class Pace:
    """The least time between two dispatches, by the loop's clock."""

    def __init__(self, most: float, least: float = 0.0) -> None:
        """most: seconds, where a batch is always under way; least: however idle."""
        self._most = most
        self._least = least
        self._share = 0.0
        self._busy = False
        self._at = 0.0

    @classmethod
    def of(cls, settings: Settings) -> Pace:
        """As they have it."""
        return cls(settings.merge_ms / 1000, settings.merge_least_ms / 1000)

    def mark(self, now: float, busy: bool) -> None:
        """From now on some batch is under way, or none is."""
        self._share, self._at, self._busy = self.share(now), now, busy

    def share(self, now: float) -> float:
        """How busy it was of late: 0 to 1."""
        kept = math.exp(-(now - self._at) / MEMORY_SECONDS)
        return kept * self._share + (1 - kept) * self._busy

    def seconds(self, now: float) -> float:
        """The least time from one dispatch to the next."""
        return max(self._least, self._most * (max(0.0, self.share(now) - IDLE) / (1 - IDLE)) ** STEEP)
