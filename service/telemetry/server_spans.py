"""ASGI middlewares that make server spans: for requests at the HTTP door, and for calls of a backend.

OpenTelemetry's own ASGI middleware is not used here. It starts a span with the raw path, the query and the client's
address, and a path may hold a user's id. Its hooks can overwrite such attributes, but not remove them.
"""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.trace import Span
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.backends.rows import width_of
from service.http.probes import PROBES
from service.telemetry.tracing import STATES, TRACES, Tracer, mark_broken

UNTRACED = (*PROBES, "/metrics")
"""Paths without spans: probes and Prometheus request them every few seconds."""

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE")

_TRACES, _STATES = TRACES.encode(), STATES.encode()


class HttpSpans:
    """A server span for each request of the HTTP door, by OpenTelemetry's semantic conventions."""

    def __init__(self, app: ASGIApp, tracer: Tracer, routes: Sequence[BaseRoute]) -> None:
        """routes: those of the door."""
        self._app = app
        self._tracer = tracer
        self._routes = [route for route in routes if isinstance(route, Route)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on inside a span."""
        if scope["type"] != "http" or scope["path"] in UNTRACED:
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        route = self._route(scope["path"])
        attributes = {
            "http.request.method": method,
            "url.scheme": scope["scheme"],
            "network.protocol.version": scope["http_version"],
            **({"http.route": route, "url.path": route} if route else {}),  # the path itself may name a user
        }
        name = " ".join(["HTTP" if method == "_OTHER" else method, *([route] if route else [])])
        carrier = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        with self._tracer.request(name, carrier, attributes) as span:
            await self._app(scope, receive, _with_status(span, send))

    def _route(self, path: str) -> str | None:
        """The template of a path, without the types of its parameters."""
        for route in self._routes:
            if route.path_regex.match(path):
                return route.path_format
        return None


def _with_status(span: Span, send: Send) -> Send:
    """A `send` that writes the status into a span. 4xx is no error of the server."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            status = message["status"]
            span.set_attribute("http.response.status_code", status)
            if status >= 500:
                mark_broken(span, str(status))
        await send(message)

    return sending


class BackendSpans:
    """A server span for each request of the batch that a call of a backend is made for."""

    def __init__(self, app: ASGIApp, tracer: Tracer, service: str) -> None:
        self._app = app
        self._tracer = tracer
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on inside the spans that its header names; without the header there are none."""
        headers = dict(scope["headers"]) if scope["type"] == "http" else {}
        width, length = width_of(scope) if headers else None, headers.get(b"content-length", b"")
        if _TRACES not in headers or width is None or not length.isdigit():
            await self._app(scope, receive, send)
            return
        name = f"{self._service}/{scope['path'].removeprefix('/')}"
        with self._tracer.serving(name, headers[_TRACES], int(length) // width, headers.get(_STATES, b"")) as spans:
            for span in spans:
                send = _with_status(span, send)
            await self._app(scope, receive, send)
