"""The word by which the parent of all workers tells one that it is to leave, before it ends it (`service.ending`)."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress

LEAVING = signal.SIGUSR1
"""What a worker is sent before SIGTERM. One that still loads ends by it, and has nothing to lose."""


class Notice:
    """Of a worker of retrieval or ranking, which is the entry of its own host: it is ready no more, and answers on."""

    def __init__(self) -> None:
        self.given = False

    def await_signal(self) -> None:
        """Heed it from now on; to be called on the loop."""
        with suppress(RuntimeError, ValueError):  # not the main thread, as in somebody's tests
            asyncio.get_running_loop().add_signal_handler(LEAVING, self._give)

    def _give(self) -> None:
        self.given = True
