"""Keeps a stage that does not answer from costing every request its share of the deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

FAILURES = 3
"""In a row, before the stage is done without: one may be a process that is replaced."""

REST_SECONDS = 0.2
"""Between two tries of a stage that is done without."""

USUAL = 0.001
"""Seconds a batch is taken to need before any was timed."""

PATIENCE = 0.02
"""Seconds, or four times what is usual, before a stage that is left behind counts as one that failed: a request with
little time must not close it to those who have more. A request with 100 ms leaves a store that hangs after 37: were
that none, every one would wait so long for as long as it hangs."""

SEES = 2
"""Times what is usual that a query has to have, to see whether a stage answers as it does."""

WEIGHT = 0.1
"""Of the newest batch in what is usual."""


class Breaker:
    """Whether one stage is worth asking. clock: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.closed = True
        """Whether all queries may go through."""
        self.tried: float | None = None
        """When a query was let through to find out how the stage is; `untold` wants it, whoever asks takes it away."""
        self._failures = 0
        self._next_try = self._next_hope = 0.0
        self._usual = USUAL

    def tries(self, seconds: float) -> bool:
        """Whether one query is to find out how the stage is now, where others do without it; yes once in a while.

        seconds: how long it can wait. One that would hardly see a stage that is well may hope all the same, or a stage
        that was slow once would be thought too slow for ever where nobody has more time; but it takes no turn of those
        who would, or a flood of its kind kept away what has long been back.
        """
        now, sees = self._clock(), seconds > max(PATIENCE, SEES * self._usual)
        if now < (self._next_try if sees else self._next_hope):
            return False
        self.tried, self._next_hope = now, now + REST_SECONDS
        if sees:
            self._next_try = self._next_hope
        return True

    def untold(self, tried: float) -> None:
        """Whoever tried at that time has gone before anything could be told: the next may, as long after as it waited.

        So of those who come to a stage that hangs, and go by themselves, no more than half wait for it.
        """
        now, until = self._clock(), tried + REST_SECONDS
        again = min(until, 2 * now - tried)
        self._next_try = again if self._next_try == until else self._next_try
        self._next_hope = again if self._next_hope == until else self._next_hope

    def enough(self, seconds: float) -> bool:
        """Whether so much time is enough to start; half of what is usual, since batches differ in size."""
        return seconds > self._usual / 2

    def worked(self, seconds: float) -> None:
        """A batch came back after so long."""
        self._failures, self.closed = 0, True
        self._usual += WEIGHT * (seconds - self._usual)

    def failed(self, seconds: float | None = None) -> bool:
        """A batch did not come back; whether that counts. seconds: how long it was waited for, None where it broke."""
        if seconds is not None and seconds <= max(PATIENCE, 4 * self._usual):
            return False
        self._failures += 1
        self.closed = self._failures < FAILURES
        self._next_try = self._next_hope = self._clock() + REST_SECONDS
        return True
