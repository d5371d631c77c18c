"""Merges the requests that wait in this process into one batch, so that a hop is paid once for all of them.

A lone request starts at once. While as many batches as allowed are under way, or the last one left less than the pace
ago (`service.recommend.pace`), newcomers wait and leave together; where many wait, more batches may be under way.
Each is answered as soon as it is done, and whoever's time runs out while it waits is answered with what is here.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from recsys.errors import StageError
from service.recommend.pace import Pace
from service.settings import SHORT

T = TypeVar("T")

AT_ONCE_SECONDS = 0.0005
"""What one who waits no longer costs the loop: a slate of 20 from what is here takes 0.1 ms, and its answer as JSON 0.2
(medians, with 10,000 items as with 300,000); the rest is for the door, which was not measured apart."""

BACKLOG = 16
"""Queries of as many requests that wait, and may leave together, for which more batches may be under way. Where
stages are processes of their own a batch goes through three, one after the other: of two that are under way one of the
three has none, and what a burst left waits while cores are idle. At 1,300 and 1,600 a second p99 is half of what it is
without (docs/decisions.md)."""

RETIMED_SECONDS = 0.001
"""What batches must leave sooner by for a timer to be set anew: while nothing is under way the pace shrinks with every
look at it, by less."""


def _raised(_: object, error: Exception | None) -> None:
    """Whoever asks alone hears of what broke from its own batch."""
    if error:
        raise error


Run = Callable[[Sequence[T], Callable[[T, Exception | None], None]], Awaitable[None]]
"""Takes a batch and tells of each as it is done, or of what broke."""


class Coalescer(Generic[T]):
    """Runs what is submitted in batches. How many may wait is `service.recommend.admission`'s."""

    def __init__(
        self,
        run: Run[T],
        at_once: Callable[[T], None],
        max_batch: int,
        max_in_flight: int,
        pace: Pace,
        spare: int = 0,
    ) -> None:
        """at_once: does what can be done without waiting. spare: batches more than max_in_flight for a BACKLOG."""
        self._run = run
        self._at_once = at_once
        self._max_batch = max_batch
        self._max_in_flight = max_in_flight
        self._spare = spare
        self._waiting: deque[tuple[T, asyncio.Future[None]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()  # the loop alone would hold them weakly
        self._under_way = 0
        self._requests = 0  # that are here
        self._pace = pace
        self._left = -math.inf  # when the last batch did
        self._due = 0  # from the front: who leaves as soon as a batch may
        self._timer: asyncio.TimerHandle | None = None
        self._wakes = 0.0  # when it does; uvloop's can't tell once it is due

    async def submit(self, queries: Sequence[T], latest: float) -> None:
        """Return when the queries of a request are done.

        latest: when they may wait no longer for a batch to leave, by the loop's clock.
        """
        self._requests += 1
        self._pace.count(asyncio.get_running_loop().time(), self._requests)
        try:
            if len(queries) == 1:
                await self._submit(queries[0], latest)
            else:
                await asyncio.gather(*(self._submit(query, latest) for query in queries))
        finally:
            self._requests -= 1

    async def _submit(self, query: T, latest: float) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        pace = self._pace.seconds(now, len(self._waiting) + 1, self._requests)
        hurried = latest - now < SHORT * pace
        if (hurried or now >= self._left + pace) and not self._waiting and self._may_leave():
            await self._run_alone(query, now)
            return
        done: asyncio.Future[None] = loop.create_future()
        entry = (query, done)
        self._waiting.append(entry)
        if hurried:
            self._due = len(self._waiting)
        self._dispatch()
        if self._waiting and self._waiting[-1] is entry:
            # Those of one burst can wait as long as each other, but not be answered all in one turn of the loop.
            timer = loop.call_at(latest - AT_ONCE_SECONDS * len(self._waiting), self._expire, entry)
            done.add_done_callback(lambda _: timer.cancel())
        await done

    def _expire(self, entry: tuple[T, asyncio.Future[None]]) -> None:
        """Answer whoever still waits for a batch."""
        query, done = entry
        if done.done() or entry not in self._waiting:  # let go in the same turn of the loop, perhaps
            return
        self._waiting.remove(entry)
        self._due = min(self._due, len(self._waiting))
        try:
            self._at_once(query)
        except Exception as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    def _dispatch(self) -> None:
        """Let batches leave, now or when it is time."""
        loop = asyncio.get_running_loop()
        while self._waiting and self._may_leave():
            now, waiting = loop.time(), len(self._waiting)
            earliest = self._left + self._pace.seconds(now, waiting, self._requests)
            if now < earliest and waiting < self._max_batch and not self._due:
                self._wake(earliest)
                return
            count = min(waiting, self._max_batch)
            batch = [self._waiting.popleft() for _ in range(count)]
            alive = [entry for entry in batch if not entry[1].done()]
            self._due = max(0, self._due - count)
            if alive:
                self._leave(now)
                # Whose request it is that lands, or comes, as they leave: its spans are not theirs.
                task = asyncio.create_task(self._run_batch(alive), context=Context())
                self._tasks.add(task)
                task.add_done_callback(self._on_done)

    def _may_leave(self) -> bool:
        """Whether one batch more may be under way."""
        if self._under_way < self._max_in_flight:
            return True
        backlog = min(len(self._waiting), self._requests, self._max_batch)
        return backlog >= BACKLOG and self._under_way < self._max_in_flight + self._spare

    def _wake(self, earliest: float) -> None:
        """Look again then, or when it was asked for before; it is sooner once enough wait."""
        if self._timer:
            if self._wakes < earliest + RETIMED_SECONDS:
                return
            self._timer.cancel()
        self._timer, self._wakes = asyncio.get_running_loop().call_at(earliest, self._on_time), earliest

    def _on_time(self) -> None:
        # The pace may have grown meanwhile, and goes on to: it was asked for once.
        self._timer = None
        self._due = len(self._waiting)
        self._dispatch()

    def _leave(self, now: float) -> None:
        """Note that a batch leaves."""
        self._left = now
        if self._timer:  # it was for those who leave now
            self._timer.cancel()
            self._timer = None
        self._pace.mark(now, True)
        self._under_way += 1

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._landed()

    def _landed(self) -> None:
        """Note that a batch is done, and let the next one leave once those of it are here no more."""
        loop = asyncio.get_running_loop()
        self._under_way -= 1
        self._pace.mark(loop.time(), self._under_way > 0)
        if self._waiting:
            loop.call_soon(self._dispatch)

    async def _run_alone(self, query: T, now: float) -> None:
        """A batch of one, in the task of whoever asks: a task of its own costs a lone request, whose code is cold."""
        self._leave(now)
        try:
            await self._run([query], _raised)
        finally:
            self._landed()

    async def _run_batch(self, batch: list[tuple[T, asyncio.Future[None]]]) -> None:
        under_way = {id(query): done for query, done in batch}

        def land(query: T, error: Exception | None) -> None:
            done = under_way.pop(id(query), None)
            if done is None or done.done():
                return
            if error:
                done.set_exception(error)
            else:
                done.set_result(None)

        try:
            await self._run([query for query, _ in batch], land)
        except BaseException as error:
            # Nobody cancelled who waits: they are told that the batch was.
            told = error if isinstance(error, Exception) else StageError("The batch was cancelled.")
            for query, _ in batch:
                land(query, told)
            if told is not error:
                raise
