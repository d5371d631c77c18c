"""The callee's side of a hop: calls over raw rows, in front of what BentoML puts around an API.

Its own way in costs a call a pickle, a schema and six layers of middleware on this side, and a request of aiohttp on
the other; what is asked stays its APIs, through its adaptive batching. `service.hop` is the caller's side.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from types import MappingProxyType
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service.fast_calls import PREFIX, WIDTH, Answer
from service.http.probes import PROBES
from service.telemetry import metrics

PASSED = (*PROBES, "/metrics")
"""What BentoML answers here; none of it reads a body."""

MOST_BYTES = 16 << 20
"""Of a call: 512 of the widest rows are 3.3 MB."""

Infer = Callable[[np.ndarray], Awaitable[np.ndarray]]


class Lane:
    """Answers POST /rows/NAME, and leaves the probes to BentoML's app; there is nothing else here for anybody.

    BentoML's own way to call an API unpickles what it is sent, and its app has it behind every path: none is reached.
    """

    def __init__(
        self, apis: Mapping[str, Infer], behind: ASGIApp, widths: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        """widths: bytes of a row of each API, by name; any where none is named."""
        self._apis = {PREFIX + name: (infer, widths.get(name)) for name, infer in apis.items()}
        self._behind = behind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer rows with rows; what an API raises becomes a plain 500, whose reason is the service's to log."""
        found = self._apis.get(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in PASSED):
                await self._behind(scope, receive, send)
            elif scope["type"] == "http":
                await _refuse(send, 404, "Rows are asked for at /rows/NAME; nothing else is here.")
            return
        infer, width = found
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MOST_BYTES:
                await _refuse(send, 413, f"Rows of a call are {MOST_BYTES:,} bytes at most.")
                return
        told = width_of(scope)
        if told is None or told != (width or told) or not body or len(body) % told:
            await _refuse(send, 400, f"Send whole rows, {width or 'so many'} bytes each, and {WIDTH.decode()}.")
            return
        rows = await infer(np.frombuffer(body, np.uint8).reshape(-1, told))
        answer = rows.tobytes()
        headers = [(b"content-length", str(len(answer)).encode()), (WIDTH, str(rows.shape[1]).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


def width_of(scope: Scope) -> int | None:
    """How wide a call says that its rows are; None where it does not say it."""
    told: bytes = dict(scope["headers"]).get(WIDTH, b"")
    return int(told) if told.isdigit() and len(told) < 10 and int(told) else None


async def _refuse(send: Send, status: int, why: str) -> None:
    body = why.encode()
    headers = [
        (b"content-type", b"text/plain"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def apis(app: Starlette) -> dict[str, Infer]:
    """The APIs of a BentoML service by name, as calls without a request around them, merged where BentoML merges."""
    return {name: _infer(service, name) for name, service in _services(app)}


def answers(app: Starlette) -> dict[str, Answer]:
    """The same for a call alone: run at once, on the loop.

    A worker computes one thing at a time, and a thread's way there and back takes 0.1 ms.
    """
    return {name: _answer(service, name) for name, service in _services(app)}


def _services(app: Starlette) -> Iterator[tuple[str, Any]]:
    """Each API's name, and the service that knows how it is run and merged (bentoml 1.4.40).

    Those of the app's routes whose endpoint is the service's own are APIs.
    """
    for route in app.routes:
        if isinstance(route, Route) and isinstance(route.endpoint, partial):
            service = getattr(route.endpoint.func, "__self__", None)
            if service is not None and route.name in service.service.apis:
                yield route.name, service


def _answer(service: Any, name: str) -> Answer:
    together = metrics.rows_together.labels(name).observe

    @cache
    def local() -> Answer:
        found: Answer = getattr(service._service_instance, name).local
        return found

    def answer(rows: np.ndarray) -> np.ndarray:
        together(len(rows))
        return local()(rows)

    return answer


def _infer(service: Any, name: str) -> Infer:
    answer = _answer(service, name)

    async def alone(rows: np.ndarray) -> np.ndarray:
        return answer(rows)

    async def together(batches: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        if len(batches) == 1:
            return [answer(batches[0])]
        found = answer(np.concatenate(batches))
        return np.split(found, np.cumsum([len(rows) for rows in batches])[:-1])

    return _own(service.dispatchers[name])(together) if name in service.dispatchers else alone


def _own(dispatcher: Any) -> Any:
    """A dispatcher as BentoML has one for an API, whose own runs for all who wait whatever the last native call set."""
    return type(dispatcher)(
        max_latency_in_ms=1000 * dispatcher.max_latency,
        max_batch_size=dispatcher.max_batch_size,
        fallback=dispatcher.fallback,
        get_batch_size=dispatcher.get_batch_size,
        batch_dim=dispatcher.batch_dim,
    )
