"""Who comes in turns: hundreds at once are not what everybody else waits for.

What one of them costs is a part of a millisecond of the process's one loop, and a loop that finds five hundred of them
would do all of it before it looks at those that were there before.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from service.edge import bounds


class Turns:
    """So many at a time, in the order in which they came."""

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int) -> None:
        """most: in each turn of bounds.TURN_SECONDS."""
        self._loop = loop
        self._most = most
        self._waiting: deque[Callable[[], None]] = deque()
        self._let_in = 0  # since the last turn
        self._turns = False

    def admit(self, come: Callable[[], None]) -> bool:
        """Whether it may go on now; else `come` is called in its turn."""
        if not self._turns:
            self._turns = True
            self._loop.call_later(bounds.TURN_SECONDS, self._turn)
        if self._let_in < self._most:
            self._let_in += 1
            return True
        self._waiting.append(come)
        return False

    def _turn(self) -> None:
        come = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        self._let_in, self._turns = len(come), bool(come)
        for each in come:
            self._loop.call_soon(each)  # one that raises costs its turn alone
        if come:
            self._loop.call_later(bounds.TURN_SECONDS, self._turn)
