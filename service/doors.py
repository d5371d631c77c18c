"""The doors of a gateway process, put together: HTTP's, gRPC's and the admin port, and what each asks first."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import cache
from typing import cast

from starlette.applications import Starlette
from starlette.types import ASGIApp

from service.ahead import Make
from service.auth import setup
from service.auth.grpc_guard import GrpcGuard
from service.auth.guard import KeyGuard
from service.auth.http_guard import HttpGuard
from service.auth.tenants import TenantRecommender
from service.auth.tls import Tls
from service.compose import GATEWAY, tracer
from service.drain import Drain
from service.edge.connection import GuardedConnection, guard, guard_tls
from service.fast_requests import FastRequests
from service.front import Front
from service.grpc.server import GrpcServer
from service.http.admin import AdminPort
from service.http.app import Door
from service.http.keyed_openapi import openapi_with_keys
from service.http.probes import PROBES
from service.pages import api
from service.recommender import Recommender
from service.settings import Settings, environment
from service.settings import settings as in_force
from service.telemetry.traced_doors import TracedDoor


def limit_connections(settings: Settings) -> None:
    """Before the HTTP server: limits of its connections."""
    guard(settings.max_connections)
    if settings.tls_cert:
        guard_tls(certified=False)


@cache
def key_guard() -> KeyGuard | None:
    """What lets callers into this process; None where nobody needs a key."""
    return setup.key_guard(in_force(), environment())


def front(door: Door) -> Make:
    """What the HTTP server asks first."""

    def make(_: Starlette, behind: ASGIApp) -> ASGIApp:
        keys, first = key_guard(), Front(door, behind)
        if keys is None and tracer(GATEWAY) is None:
            GuardedConnection.fast_path = FastRequests(door)
        return _traced(first if keys is None else HttpGuard(first, keys, PROBES, admin=False), door)

    return make


class Doors:
    """Those that stand beside the HTTP server, which BentoML opens and closes itself, and whoever minds all of them."""

    def __init__(self, door: Door, recommender: Recommender, settings: Settings) -> None:
        """door: HTTP's, which speaks for the recommender from now on."""
        self._keys = key_guard()
        if self._keys:
            recommender = cast(Recommender, TenantRecommender(recommender, self._keys.limits))
        door.recommender = recommender
        self._rpc = _rpc(recommender, settings)
        self._admin = _admin(door, settings)
        self._drain = Drain(self._rpc, settings.drain_seconds)
        self._minding: list[asyncio.Task[None]] = []

    @property
    def closing(self) -> bool:
        """Whether no load balancer should send anything here any more."""
        return self._drain.begun

    async def open(self) -> None:
        """Before the HTTP server opens; SettingsError where a port can't be had."""
        if self._rpc:
            await self._rpc.start()
        if self._keys:
            self._mind(self._keys.keys.follow())
        if self._admin:
            await self._admin.start()
        self._drain.await_signal()

    async def close(self) -> None:
        """When the HTTP server has closed."""
        await self._drain.finish()
        if self._admin:
            await self._admin.stop()
        for task in self._minding:
            task.cancel()

    def _mind(self, work: Coroutine[None, None, None]) -> None:
        self._minding.append(asyncio.create_task(work))


def _admin(door: Door, settings: Settings) -> AdminPort | None:
    keys = key_guard()
    if keys is None or not settings.admin_port:
        return None
    door.document = openapi_with_keys
    app = _traced(HttpGuard(door.app, keys, {"/", *api.PATHS}, admin=True), door)
    tls = Tls.from_settings(settings) if settings.admin_tls else None
    return AdminPort(app, settings.admin_host, settings.admin_port, tls)


def _rpc(recommender: Recommender, settings: Settings) -> GrpcServer | None:
    if not settings.grpc_port:
        return None
    keys, tls, traces = key_guard(), Tls.from_settings(settings), tracer(GATEWAY)
    guard = None if keys is None else GrpcGuard(keys, setup.admin_address(settings))
    return GrpcServer(recommender, settings.host, settings.grpc_port, guard, tls, traces)


def _traced(app: ASGIApp, door: Door) -> ASGIApp:
    traces = tracer(GATEWAY)
    return app if traces is None else TracedDoor(app, traces, door.app.routes)
