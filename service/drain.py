"""How a worker drains: it turns not ready, its HTTP answers close their connections, and gRPC takes no new call.

The parent of the workers sends DRAIN to the workers of the entry service, waits TANDEM_DRAIN_SECONDS, and sends SIGTERM
(`service.ending`). On SIGTERM uvicorn closes idle connections at once and answers the requests under way. A worker that
receives SIGTERM alone drains without the wait.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:  # retrieval and ranking have no gRPC server and need not import it
    from service.grpc.server import GrpcServer

DRAIN = signal.SIGUSR1
"""Sent before SIGTERM. A worker that is still loading ends by it; it has no requests."""


class Drain:
    """The drain of one worker."""

    def __init__(self, rpc: GrpcServer | None = None, seconds: float = 0.0) -> None:
        """rpc: the gRPC server, if there is one. seconds: between DRAIN and SIGTERM."""
        self._rpc = rpc
        self._seconds = seconds
        self._draining: asyncio.Task[None] | None = None

    @property
    def begun(self) -> bool:
        """Whether load balancers should send no more requests to this worker."""
        return self._draining is not None

    def await_signal(self) -> None:
        """Begin on DRAIN; call this on the event loop."""
        with suppress(RuntimeError, ValueError):  # not the main thread, as in tests
            asyncio.get_running_loop().add_signal_handler(DRAIN, self._begin, self._seconds)

    async def finish(self) -> None:
        """Return when the gRPC server has drained; uvicorn has closed its connections before."""
        self._begin(0.0)
        assert self._draining is not None
        await self._draining

    def _begin(self, seconds: float) -> None:
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain(seconds))

    async def _drain(self, seconds: float) -> None:
        if self._rpc:
            await self._rpc.drain(seconds)


class LastAnswers:
    """An ASGI middleware: once a drain has begun, each answer has `connection: close`, so that clients reconnect.

    uvicorn closes the connection after such an answer.
    """

    def __init__(self, app: ASGIApp, draining: Callable[[], bool]) -> None:
        self._app = app
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start" and self._draining():
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive, closing)
