"""A throttled logger for warnings that any request may cause: one line a minute, so that traffic can't fill the log."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

logger = logging.getLogger("tandem")

REST_SECONDS = 60.0
"""Between two lines of one warning."""


class ThrottledLogger:
    """One warning. message: a format string of `logging`."""

    def __init__(self, message: str, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: monotonic seconds."""
        self._message = message
        self._clock = clock
        self._logged = -math.inf
        self._unlogged = 0

    def warn(self, *values: object, error: BaseException | None = None) -> None:
        """Log the warning, with the number of warnings since the last line. error: its traceback is logged too."""
        now = self._clock()
        if now < self._logged + REST_SECONDS:
            self._unlogged += 1
            return
        more = f" And {self._unlogged:,} times more in the {now - self._logged:.0f} s before." if self._unlogged else ""
        logger.warning(self._message + "%s", *values, more, exc_info=error)
        self._logged, self._unlogged = now, 0
