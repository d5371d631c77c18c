"""Merges the requests that wait in this process into one batch, so that a hop is paid once for all of them.

A lone request starts at once. While as many batches as allowed are under way, newcomers wait and leave together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from recsys.errors import QueryError

T = TypeVar("T")


class Coalescer(Generic[T]):
    """Runs what is submitted in batches; bounded, so that overload answers at once instead of queueing."""

    def __init__(
        self, run: Callable[[list[T]], Awaitable[None]], max_batch: int, max_in_flight: int, max_waiting: int
    ) -> None:
        self._run = run
        self._max_batch = max_batch
        self._max_in_flight = max_in_flight
        self._max_waiting = max_waiting
        self._waiting: deque[tuple[T, asyncio.Future[None]]] = deque()
        self._in_flight: set[asyncio.Task[None]] = set()

    async def submit(self, query: T) -> None:
        """Return when `query` went through a batch; QueryError `overloaded` where too many wait already."""
        if len(self._waiting) >= self._max_waiting:
            raise QueryError("Too many requests wait; try again in a second.", code="overloaded")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((query, done))
        self._dispatch()
        await done

    def _dispatch(self) -> None:
        while self._waiting and len(self._in_flight) < self._max_in_flight:
            count = min(len(self._waiting), self._max_batch)
            batch = [self._waiting.popleft() for _ in range(count)]
            alive = [entry for entry in batch if not entry[1].cancelled()]
            if alive:
                task = asyncio.create_task(self._run_batch(alive))
                self._in_flight.add(task)
                task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._dispatch()

    async def _run_batch(self, batch: list[tuple[T, asyncio.Future[None]]]) -> None:
        try:
            await self._run([query for query, _ in batch])
        except Exception as error:
            for _, done in batch:
                if not done.done():
                    done.set_exception(error)
            return
        for _, done in batch:
            if not done.done():
                done.set_result(None)
