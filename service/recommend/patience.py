"""Those who wait together for one answer, each as long as its own deadline lets it.

They wait in the task that asks: a task of the call's own, and `asyncio.wait` for it, were three of each a request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from recsys.errors import StageError
from service.recommend.query import Query


class Patience:
    """One wait."""

    def __init__(
        self, queries: Sequence[Query], latest: dict[int, float], leave: Callable[[list[Query]], None]
    ) -> None:
        """latest: until when each waits, by its id and the monotonic clock; those who wait no longer are taken out.

        leave: told of those.
        """
        self.waiting = list(queries)
        self._latest = latest
        self._leave = leave
        self._error: Exception | None = None
        self._given_up = False

    async def wait(self, call: Coroutine[Any, Any, Sequence[Any]]) -> tuple[Sequence[Any], Exception | None]:
        """What was found, or what broke; neither where nobody waits any more, and then the call is cancelled."""
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self._task, cancelled = task, task.cancelling()
        found: Sequence[Any] = ()
        error: Exception | None = None
        self._set_timer(time.monotonic())
        try:
            found = await call
        except asyncio.CancelledError:
            if task.cancelling() > cancelled + self._given_up:
                raise
            error = StageError("its call was cancelled")
        except Exception as broken:
            error = broken
        finally:
            self._timer.cancel()
            if self._given_up:
                task.uncancel()
        if self._error:
            raise self._error
        return ((), None) if self._given_up else (found, error)

    def _set_timer(self, now: float) -> None:
        soonest = min(self._latest.values())
        self._timer: asyncio.Handle = self._loop.call_later(max(0.0, soonest - now), self._come)

    def _come(self) -> None:
        # A loop that was held reads answers and looks at timers in one turn: the answer that is there goes first.
        self._timer = self._loop.call_soon(self._let_go)

    def _let_go(self) -> None:
        now = time.monotonic()
        late = [query for query in self.waiting if self._latest[id(query)] <= now]
        for query in late:
            del self._latest[id(query)]
        self.waiting = [query for query in self.waiting if id(query) in self._latest]
        try:
            self._leave(late)
        except Exception as error:
            self._error, self.waiting = error, []
        if self.waiting:
            self._set_timer(now)
        else:
            self._given_up = True
            self._task.cancel()
