"""The orderly stop (drain) of a server process on SIGTERM: it turns not ready, finishes its requests, and exits.

BentoML sends SIGTERM to the workers of all services at once. A worker answers requests for TANDEM_DRAIN_SECONDS more,
and then calls uvicorn's own handler, which closes idle connections and waits for the requests in flight. Meanwhile the
HTTP answers of a gateway close their connections, and its gRPC server stops too. Retrieval and ranking end after the
connections of their gateways are closed. A gateway that waits for its first generation ends at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import uvicorn

if TYPE_CHECKING:  # retrieval and ranking have no gRPC server and need not import it
    from service.grpc.server import GrpcServer

LAST_CALLS_SECONDS = 1.0
"""Time after the drain in which a gateway without a connection may still call, for a request that has just begun."""

BACKEND_SECONDS = 20.0
"""From SIGTERM to the end of a backend, at most, even if connections are open."""

CHECK_SECONDS = 0.1
"""Time between two checks of the connections."""


class Drain:
    """The orderly stop of one worker."""

    def __init__(self, rpc: GrpcServer | None = None, seconds: float = 0.0, backend: bool = False) -> None:
        """rpc: the gRPC server, if there is one. seconds: from not ready to the close of the listening sockets.

        backend: whether the worker ends after the gateways that are connected to it.
        """
        self._rpc = rpc
        self._seconds = seconds
        self._backend = backend
        self._parent = os.getppid()
        self._start: asyncio.Task[None] | None = None
        self._draining: asyncio.Task[None] | None = None

    @property
    def begun(self) -> bool:
        """Whether load balancers should send no more requests to this worker."""
        return self._draining is not None

    def await_signal(self) -> None:
        """Begin on SIGTERM, in place of uvicorn's handler; call this on the event loop, which uvicorn runs."""
        close = signal.getsignal(signal.SIGTERM)
        if threading.current_thread() is threading.main_thread() and callable(close):  # in a test neither may hold
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._begin, close)

    async def wait_for_start(self, ready: Coroutine[Any, Any, None]) -> None:
        """Wait until this worker can answer, but no longer than until SIGTERM: `begun` is true then."""
        self._start = asyncio.create_task(ready)
        try:
            await self._start
        except asyncio.CancelledError:
            if not self.begun:
                raise
        finally:
            self._start = None

    async def finish(self) -> None:
        """Return when the gRPC server has drained. Call it after uvicorn has closed its connections."""
        if self._draining is None:  # the server ended without a signal
            self._draining = asyncio.create_task(self._drain_rpc(0.0))
        await self._draining

    def _begin(self, close: Callable[[int, None], Any]) -> None:
        if self._draining is None:
            # A parent that was killed is replaced, and its ports are needed: no time for load balancers then.
            serves = self._start is None and os.getppid() == self._parent
            self._draining = asyncio.create_task(self._drain(close, self._seconds if serves else 0.0))
        if self._start:
            self._start.cancel()

    async def _drain(self, close: Callable[[int, None], Any], seconds: float) -> None:
        rpc = asyncio.create_task(self._drain_rpc(seconds))
        await asyncio.sleep(seconds)
        if self._backend:
            await self._wait_for_gateways(seconds, getattr(close, "__self__", None))
        close(signal.SIGTERM, None)
        await rpc

    async def _drain_rpc(self, seconds: float) -> None:
        if self._rpc:
            await self._rpc.drain(seconds)

    async def _wait_for_gateways(self, elapsed: float, server: object) -> None:
        """Return when no connection to this worker's server is open, or BACKEND_SECONDS after SIGTERM."""
        loop = asyncio.get_running_loop()
        end = loop.time() + BACKEND_SECONDS - elapsed
        await asyncio.sleep(LAST_CALLS_SECONDS)
        while isinstance(server, uvicorn.Server) and server.server_state.connections and loop.time() < end:
            await asyncio.sleep(CHECK_SECONDS)
