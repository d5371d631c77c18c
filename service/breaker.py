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

WEIGHT = 0.1
"""Of the newest batch in what is usual."""


class Breaker:
    """Whether one stage is worth asking. clock: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.closed = True
        """Whether all queries may go through."""
        self._failures = 0
        self._next_try = 0.0
        self._usual = USUAL

    def tries(self) -> bool:
        """Whether one query is to find out how the stage is now, where others do without it; yes once in a while.

        Without it a stage that was slow once would be thought too slow for ever by requests with little time.
        """
        now = self._clock()
        if now < self._next_try:
            return False
        self._next_try = now + REST_SECONDS
        return True

    def enough(self, seconds: float) -> bool:
        """Whether so much time is enough to start; half of what is usual, since batches differ in size."""
        return seconds > self._usual / 2

    def worked(self, seconds: float) -> None:
        """A batch came back after so long."""
        self._failures, self.closed = 0, True
        self._usual += WEIGHT * (seconds - self._usual)

    def failed(self, seconds: float | None = None) -> None:
        """A batch did not come back; seconds: how long it was waited for, None where it broke."""
        if seconds is None or seconds > max(PATIENCE, 4 * self._usual):
            self._failures += 1
            self.closed = self._failures < FAILURES
            self._next_try = self._clock() + REST_SECONDS
