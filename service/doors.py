"""The doors (servers) of a gateway process: HTTP, gRPC and the admin port, each with its API-key check and traces."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine
from typing import Any

from starlette.types import ASGIApp

from service import serve
from service.auth import start_checks
from service.auth.grpc_key_check import GrpcKeyCheck
from service.auth.key_check import KeyCheck
from service.auth.tls import Tls
from service.drain import Drain
from service.grpc.server import GrpcServer
from service.http.admin import AdminPort
from service.http.app import http_app
from service.http.door import HttpDoor, bounded
from service.http.endpoints import Endpoints
from service.http.page_data.operations_page import OperationsPage
from service.operations.parts import Operations
from service.settings import STARTER, Settings, environment
from service.settings import settings as in_force
from service.telemetry.tracing import ServerSpans
from service.verbs.recommender import Recommender
from service.wiring import GATEWAY, key_check, operations, traces_of

logger = logging.getLogger("tandem")


class Doors:
    """The servers of a process: it starts and stops the gRPC server and the admin port, and BentoML the HTTP server."""

    def __init__(self) -> None:
        self._endpoints = Endpoints()
        self._page = OperationsPage(loopback=not in_force().keys)
        self._operations: Operations | None = None
        self._keys: KeyCheck | None = None
        self._rpc: GrpcServer | None = None
        self._admin: AdminPort | None = None
        self._drain: Drain | None = None
        self._following: list[asyncio.Task[None]] = []

    @property
    def closing(self) -> bool:
        """Whether load balancers should send no more requests to this process."""
        return self._drain is not None and self._drain.begun

    def http_door(self, app: ASGIApp) -> HttpDoor:
        """The middleware of BentoML's app; each worker makes one before its server accepts."""
        return HttpDoor(app, self.http_app(), lambda: self.closing)

    def http_app(self, admin: bool = False) -> ASGIApp:
        """The app of the HTTP port, or of the admin port; both answer 503 until there is a recommender."""
        address = start_checks.admin_address(in_force())
        routes = self._page.routes()
        app = http_app(self._endpoints, key_check(), admin=admin, admin_address=address, page_routes=routes)
        traces = traces_of(GATEWAY)
        return app if traces is None else ServerSpans(app, traces, app.routes)

    def connect(self, recommender: Recommender, settings: Settings) -> None:
        """Let all servers call a recommender."""
        self._keys = key_check()
        self._endpoints.recommender = recommender
        self._operations = self._page.operations = operations(environment(), settings, recommender)
        self._rpc = _rpc(recommender, settings)
        if self._keys and settings.admin_port:
            self._admin = _admin(bounded(self.http_app(admin=True), lambda: self.closing), settings)
        self._drain = Drain(self._rpc, settings.drain_seconds)

    async def open(self, ready: Coroutine[Any, Any, None]) -> None:
        """Start them when there is something to answer from, before the HTTP server accepts.

        SettingsError if a port is taken. After SIGTERM none is started, and `closing` is true.
        """
        if self._drain:
            self._drain.await_signal()
            await self._drain.wait_for_start(ready)
        if self.closing:
            return
        if self._rpc:
            await self._rpc.start()
        if self._keys:
            self._following.append(asyncio.create_task(self._keys.keys.follow()))
        if self._operations:
            self._following.append(asyncio.create_task(self._operations.readings.follow()))
        if self._admin:
            await self._admin.start()

    def log_start(self, unready: str | None) -> None:
        """Log the addresses, and why no slate can be made yet; `python -m service serve` does it for what it starts."""
        if STARTER in os.environ:
            return
        if unready is None:
            logger.info("ready at %s", serve.doors(in_force()))
        else:
            logger.warning("listening at %s, not ready: %s", serve.doors(in_force()), unready)

    async def close(self) -> None:
        """Stop them after the HTTP server has closed."""
        if self._drain:
            await self._drain.finish()
        if self._admin:
            await self._admin.stop()
        for task in self._following:
            task.cancel()
        if self._operations:
            self._operations.reader.close()


def _admin(app: ASGIApp, settings: Settings) -> AdminPort:
    tls = Tls.from_settings(settings) if settings.admin_tls else None
    return AdminPort(app, settings.admin_host, settings.admin_port, tls)


def _rpc(recommender: Recommender, settings: Settings) -> GrpcServer | None:
    if not settings.grpc_port:
        return None
    keys, tls, traces = key_check(), Tls.from_settings(settings), traces_of(GATEWAY)
    check = None if keys is None else GrpcKeyCheck(keys, start_checks.admin_address(settings))
    return GrpcServer(recommender, settings.host, settings.grpc_port, check, tls, traces)
