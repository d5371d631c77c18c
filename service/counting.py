"""What a request counts is kept for a moment, and told together with what the next ones count.

To a file that processes share (Prometheus's multiprocess mode) a number takes 2 us of CPU where the code is warm, and 8
where others have driven it from the cache; a lone request has a dozen (docs/decisions.md). Told is what is kept after
TOLD_SECONDS, or once it is MOST, or when a worker stops (`compose.tell_all`), or when its gateway is asked for numbers:
those of other processes may be as old.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

TOLD_SECONDS = 1.0
"""A process that is killed takes the numbers of so long with it."""

MOST = 64
"""Numbers that are kept: to tell them takes .15 ms, in which nobody is answered."""

Count = Callable[[float], object]
"""A counter's `inc`, or a histogram's `observe`."""


class Later:
    """Numbers that are kept."""

    def __init__(self) -> None:
        self._kept: deque[tuple[Count, float]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None  # that comes back for them

    def count(self, to: Count, number: float = 1) -> None:
        """Count it soon; at once where no loop runs, since nobody would come back for it."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            to(number)
            return
        self._kept.append((to, number))
        if len(self._kept) >= MOST:
            self.tell()
        elif self._loop is not loop:
            self._loop = loop
            loop.call_later(TOLD_SECONDS, self._come_back)

    def tell(self) -> None:
        """Count all that is kept; from any thread."""
        while self._kept:
            try:
                to, number = self._kept.popleft()
            except IndexError:  # another thread took it
                return
            to(number)

    def _come_back(self) -> None:
        self._loop = None
        self.tell()


LATER = Later()
"""Of this process."""
