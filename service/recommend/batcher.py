"""The batcher of a gateway process: it merges waiting requests, so that one call of a model serves several."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import Context
from typing import Generic, TypeVar

from recsys.errors import StageError

T = TypeVar("T")

WINDOW_SECONDS = 0.007
"""Longest time that a request waits for a batch in flight to end, if one more batch may start (docs/decisions.md)."""


class RequestBatcher(Generic[T]):
    """Runs queries in batches.

    A query starts at once if no batch is in flight. Otherwise queries wait, and start together as soon as a batch ends,
    after WINDOW_SECONDS, or as soon as they fill a batch. `service.recommend.admission` bounds the number of queries
    that wait.
    """

    def __init__(
        self,
        run: Callable[[Sequence[T]], Awaitable[None]],
        finish: Callable[[T], None],
        max_batch: int,
        max_in_flight: int,
    ) -> None:
        """run: runs a batch. finish: completes a query after its batch, or at its deadline without its batch."""
        self._run = run
        self._finish = finish
        self._max_batch = max_batch
        self._max_in_flight = max_in_flight
        self._waiting: deque[tuple[T, asyncio.Future[None]]] = deque()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def submit(self, queries: Sequence[T], deadline: float) -> None:
        """Return when every query of a request is finished; deadline: monotonic seconds, the same for all.

        A cancelled request leaves its batch running: the other queries of the batch are not affected.
        """
        if len(queries) == 1:
            await self._submit(queries[0], deadline)
        else:
            await asyncio.gather(*(self._submit(query, deadline) for query in queries))

    async def _submit(self, query: T, deadline: float) -> None:
        entry = query, asyncio.get_running_loop().create_future()
        self._waiting.append(entry)
        self._start_batches(now=False)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(deadline - time.monotonic()):
                    await entry[1]  # a timeout or a cancelled request cancels the future too
        finally:
            if entry[1].cancelled() and entry in self._waiting:
                self._waiting.remove(entry)
        self._finish(query)

    def _start_batches(self, now: bool) -> None:
        """Start the batches that need not wait; now: the first of them must not wait."""
        while self._waiting and len(self._in_flight) < self._max_in_flight:
            if not (now or not self._in_flight or len(self._waiting) >= self._max_batch):
                break
            self._start_batch()
            now = False
        if self._waiting and self._timer is None and len(self._in_flight) < self._max_in_flight:
            self._timer = asyncio.get_running_loop().call_later(WINDOW_SECONDS, self._on_window_end)

    def _start_batch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        count = min(len(self._waiting), self._max_batch)
        batch = [entry for entry in (self._waiting.popleft() for _ in range(count)) if not entry[1].done()]
        if batch:
            # A context of its own: the spans of the request that starts the batch are not those of the batch.
            task = asyncio.create_task(self._run_batch(batch), context=Context())
            self._in_flight.add(task)
            task.add_done_callback(self._on_batch_end)

    def _on_window_end(self) -> None:
        self._timer = None
        self._start_batches(now=True)

    def _on_batch_end(self, task: asyncio.Task[None]) -> None:
        self._in_flight.remove(task)
        self._start_batches(now=True)

    async def _run_batch(self, batch: Sequence[tuple[T, asyncio.Future[None]]]) -> None:
        error: Exception | None = None
        try:
            await self._run([query for query, _ in batch])
        except asyncio.CancelledError:
            error = StageError("The batch was cancelled.")
            raise
        except Exception as raised:
            error = raised
        finally:
            for _, done in batch:
                if done.done():
                    continue
                if error is None:
                    done.set_result(None)
                else:
                    done.set_exception(error)
