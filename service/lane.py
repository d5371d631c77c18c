"""The server's side of a hop: an ASGI middleware that answers calls over raw rows in place of BentoML's API routes.

A call by BentoML's own client costs a pickle and a JSON schema on this side. BentoML unpickles what its routes receive,
so no request reaches one of them: here they answer 404. The methods called are the service's APIs, and batchable ones
run in BentoML's dispatcher, which merges calls of several gateway processes. `service.hop` is the client.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from types import MappingProxyType
from typing import Any

import numpy as np
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.probes import PROBES
from service.telemetry import metrics

PREFIX = "/rows/"
"""Of the paths of calls; the rest is the API's name."""

WIDTH = b"x-row-bytes"
"""The header with the bytes of one row, of a call and of its answer."""

METRICS = "/metrics"

MOST_BYTES = 16 << 20
"""Of a call: 512 of the widest rows are 3.3 MB."""

Infer = Callable[[np.ndarray], Awaitable[np.ndarray]]


class Lane:
    """Answers POST /rows/NAME and GET /metrics, and passes the probes on to BentoML's app."""

    def __init__(self, app: ASGIApp, widths: Mapping[str, int] = MappingProxyType({})) -> None:
        """widths: bytes of a row of each API, by name; any width where an API is not named."""
        self._app = app
        self._widths = widths
        self._apis: Mapping[str, Infer] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; an exception of an API becomes a plain 500, and the server logs it."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in PROBES):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            with suppress(ClientDisconnect):
                response = await self._answer(Request(scope, receive))
                await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.scope["path"]
        if path == METRICS:
            return Response(await run_in_threadpool(metrics.exposition), media_type=CONTENT_TYPE_LATEST)
        if self._apis is None:
            self._apis = apis(request.app)
        name = path.removeprefix(PREFIX)
        infer = self._apis.get(name) if path.startswith(PREFIX) else None
        if infer is None:
            return _refusal(404, "Calls are POST /rows/NAME; there is no other path here.")
        body = await _body(request)
        if body is None:
            return _refusal(413, f"The rows of a call are {MOST_BYTES:,} bytes at most.")
        width, declared = self._widths.get(name), width_of(request.scope)
        if declared is None or declared != (width or declared) or not body or len(body) % declared:
            wanted = f"{width} bytes each" if width else "all of one width"
            return _refusal(400, f"Send whole rows, {wanted}, and {WIDTH.decode()}.")
        rows = await infer(np.frombuffer(body, np.uint8).reshape(-1, declared))
        return Response(rows.tobytes(), headers={WIDTH.decode(): str(rows.shape[1])})


async def _body(request: Request) -> bytearray | None:
    """The body, which an API may write to; None where it is too large."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            return None
    return body


def width_of(scope: Scope) -> int | None:
    """The width of a row by the header of a call; None without a valid one."""
    value: bytes = dict(scope["headers"]).get(WIDTH, b"")
    return int(value) if value.isdigit() and len(value) < 10 and int(value) else None


def _refusal(status: int, why: str) -> Response:
    return PlainTextResponse(why, status, {"connection": "close"})


def apis(app: Starlette) -> dict[str, Infer]:
    """The APIs of a BentoML service by name (bentoml 1.4.40).

    A route whose endpoint is a method of the service's app factory, and that has the name of an API, is that API.
    """
    found = {}
    for route in app.routes:
        if isinstance(route, Route) and isinstance(route.endpoint, partial):
            service = getattr(route.endpoint.func, "__self__", None)
            if service is not None and route.name in service.service.apis:
                found[route.name] = _infer(service, route.name)
    return found


def _infer(service: Any, name: str) -> Infer:
    together = metrics.rows_together.labels(name).observe

    @cache
    def local() -> Callable[[np.ndarray], np.ndarray]:
        found: Callable[[np.ndarray], np.ndarray] = getattr(service._service_instance, name).local
        return found

    def answer(rows: np.ndarray) -> np.ndarray:
        """On the event loop: a worker computes one batch at a time, and a thread costs 0.1 ms more."""
        together(len(rows))
        return local()(rows)

    async def alone(rows: np.ndarray) -> np.ndarray:
        return answer(rows)

    async def merged(batches: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        if len(batches) == 1:
            return [answer(batches[0])]
        found = answer(np.concatenate(batches))
        return np.split(found, np.cumsum([len(rows) for rows in batches])[:-1])

    return _own(service.dispatchers[name])(merged) if name in service.dispatchers else alone


def _own(dispatcher: Any) -> Any:
    """A dispatcher like the one that BentoML has for an API: a dispatcher calls the last function that it wrapped."""
    return type(dispatcher)(
        max_latency_in_ms=1000 * dispatcher.max_latency,
        max_batch_size=dispatcher.max_batch_size,
        fallback=dispatcher.fallback,
        get_batch_size=dispatcher.get_batch_size,
        batch_dim=dispatcher.batch_dim,
    )
