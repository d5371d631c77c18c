"""A background thread that runs queued calls in order, so that reading and writing overlap while data is copied.

The upload and the download of trained models use it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any


class Background:
    """Runs calls in order on one thread. The end of the `with` block waits for all, and raises the first error."""

    def __init__(self, name: str, ahead: int) -> None:
        """ahead: calls that may wait before `submit` blocks, to bound the memory of their arguments."""
        self._pool, self._ahead = ThreadPoolExecutor(1, name), ahead
        self._waiting: deque[Future[None]] = deque()

    def submit(self, call: Callable[..., None], *arguments: Any) -> None:
        """Queue a call; raises the error of an earlier one."""
        self._waiting.append(self._pool.submit(call, *arguments))
        while len(self._waiting) > self._ahead:
            self._waiting.popleft().result()

    def __enter__(self) -> Background:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while self._waiting and error is None:
                self._waiting.popleft().result()
        finally:
            self._pool.shutdown(cancel_futures=True)
