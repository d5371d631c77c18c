"""Reads the stored state for the page /operations: one read at a time, which all requests of that moment share.

The reads have a thread of their own, because a slow store would fill the threads on which models compute.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from service.operations.state_reader import StateReader
from service.operations.stored_state import StoredState

STORE_SECONDS = 5.0
"""Time for all reads of the store. The page waits 10 s for the overview."""

KEPT_SECONDS = 1.0
"""A read is shared for so long. More pages than one then cost the store no more reads."""


class SharedReader:
    """Reads for one event loop."""

    def __init__(self, reader: StateReader) -> None:
        self._reader = reader
        self._thread = ThreadPoolExecutor(1, "operations")
        self._reading: asyncio.Future[StoredState] | None = None
        self._began = 0.0

    async def read(self) -> StoredState:
        """The state, at most KEPT_SECONDS old; StoreError without a store, TimeoutError after STORE_SECONDS."""
        now = time.monotonic()
        if self._reading is None or (self._reading.done() and now - self._began > KEPT_SECONDS):
            self._began = now
            self._reading = asyncio.get_running_loop().run_in_executor(self._thread, self._reader.read, time.time())
        return await asyncio.wait_for(asyncio.shield(self._reading), STORE_SECONDS)

    def close(self) -> None:
        """Close all connections; a read in progress ends by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._reader.close()
