"""How a worker leaves: not ready first, then nothing new, then all that it accepted is answered.

A worker of the gateway, or of retrieval or ranking where those are alone on a host. The parent of the workers says
when, by LEAVING, and goes on with SIGTERM (`service.ending`); told SIGTERM alone, as when somebody stops one worker of
several, the gateway's does the same without the time that a load balancer needs.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from service.edge.connection import GuardedConnection

if TYPE_CHECKING:  # retrieval and ranking have no such door, and need not import it
    from service.grpc.door import RpcDoor

LEAVING = signal.SIGUSR1
"""What a worker is sent before SIGTERM. One that still loads ends by it, and has nothing to lose."""


class Drain:
    """Of one worker."""

    def __init__(self, rpc: RpcDoor | None = None, seconds: float = 0.0) -> None:
        """rpc: the gRPC door, where there is one. seconds: between not ready and nothing new."""
        self._rpc = rpc
        self._seconds = seconds
        self._leaving: asyncio.Task[None] | None = None

    @property
    def begun(self) -> bool:
        """Whether no load balancer should send anything here any more."""
        return self._leaving is not None

    def await_signal(self) -> None:
        """Begin when the parent says so; to be called on the loop."""
        with suppress(RuntimeError, ValueError):  # not the main thread, as in somebody's tests
            asyncio.get_running_loop().add_signal_handler(LEAVING, self._begin, self._seconds)

    async def finish(self) -> None:
        """Return when the gRPC door is closed; HTTP's is by then."""
        self._begin(0.0)
        assert self._leaving is not None
        await self._leaving

    def _begin(self, seconds: float) -> None:
        if self._leaving is None:
            GuardedConnection.leaving = True
            self._leaving = asyncio.create_task(self._leave(seconds))

    async def _leave(self, seconds: float) -> None:
        if self._rpc:
            await self._rpc.drain(seconds)
