"""Warnings about what may go wrong with every request: one a second at most, so that nobody's traffic fills the log."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

logger = logging.getLogger("tandem")


class Complaint:
    """One kind of warning. what: the line it becomes, for `logging` to fill in."""

    def __init__(self, what: str, rest: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        """rest: seconds between two lines. clock: monotonic seconds."""
        self._what = what
        self._rest = rest
        self._clock = clock
        self._said = -math.inf
        self._unsaid = 0

    def say(self, *told: object, error: BaseException | None = None) -> None:
        """Log it, and how often it was not logged since the last line; error: whose traceback goes with it."""
        now = self._clock()
        if now < self._said + self._rest:
            self._unsaid += 1
            return
        more = f" And {self._unsaid:,} times more in the {now - self._said:.0f} s before." if self._unsaid else ""
        logger.warning(self._what + "%s", *told, more, exc_info=error)
        self._said, self._unsaid = now, 0
