"""The admin port: a second HTTP server (uvicorn) in each gateway process, with operators' endpoints and /metrics."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from recsys.errors import SettingsError
from service.auth.tls import Tls
from service.settings import place

STOP_SECONDS = 1
"""Time for the requests in flight when the port closes."""


class _Server(uvicorn.Server):
    """A server that leaves the signals of its process to BentoML's server."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle no signal."""
        yield


class AdminPort:
    """The HTTP server of the admin port in one process; all processes share the port."""

    def __init__(self, app: ASGIApp, host: str, port: int, tls: Tls | None = None) -> None:
        """tls: the certificate that the port serves, None for plain HTTP."""
        self._place = host, port
        self._serving: asyncio.Task[None] | None = None
        self._server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                timeout_graceful_shutdown=STOP_SECONDS,
                **(tls.uvicorn_options() if tls else {}),
            )
        )

    async def start(self) -> None:
        """Listen; SettingsError if the port can't be bound."""
        self._serving = asyncio.create_task(self._server.serve([self._socket()]))
        while not self._server.started and not self._serving.done():
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Accept no more requests, and wait for the requests in flight."""
        self._server.should_exit = True
        if self._serving:
            await self._serving

    def _socket(self) -> socket.socket:
        host, port = self._place
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.socket(family)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            listening.bind(self._place)
        except OSError as error:
            listening.close()
            raise SettingsError(
                f"{place(host, port)} can't be bound ({error.strerror}). Choose another port: TANDEM_ADMIN_PORT=..."
            ) from error
        return listening
