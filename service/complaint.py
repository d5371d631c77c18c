"""What goes wrong with every request, said once a second: a log is nobody's to fill."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

logger = logging.getLogger("tandem")

REST_SECONDS = 1.0
"""Between two lines."""


class Complaint:
    """Of one thing. clock: monotonic seconds."""

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._clock = clock
        self._said = -math.inf
        self._unsaid = 0

    def say(self, wrong: str) -> None:
        """Log it, and how often something was wrong since the last line."""
        now = self._clock()
        if now < self._said + REST_SECONDS:
            self._unsaid += 1
            return
        more = f" ({self._unsaid:,} times more since the last such line.)" if self._unsaid else ""
        logger.warning("%s %s%s", self._what, wrong, more)
        self._said, self._unsaid = now, 0
