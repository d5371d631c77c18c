"""The door of the gateway's HTTP server: a middleware that answers all requests itself, except the health probes.

`Gateway.add_asgi_middleware` puts it before BentoML's routes, so that no client reaches /docs.json, /schema.json or
/metrics of BentoML.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.early_responses import UnreadBodies
from service.http.error_responses import method_refused
from service.http.headers import ResponseHeaders
from service.http.paths import METHODS, PROBES, PathAsSent

REQUEST_SECONDS = 20.0
"""Time for a request beside its deadline, for `traffic={"timeout": …}`: a body may take 8 s. BentoML keeps 0.8 kB and a
timer for so long after each request, 20 MB at 400 requests a second with its default of 60 s."""

_POLICY_VIOLATION = 1008
"""The WebSocket close code; before the handshake the server sends it as 403."""


class HttpDoor:
    """Passes the probes and the lifespan on to the app of BentoML, and every other request to `http_app`."""

    def __init__(self, app: ASGIApp, ours: ASGIApp, draining: Callable[[], bool]) -> None:
        """app: BentoML's. ours: `http_app`. draining: whether each answer closes its connection."""
        self._bentoml = app
        self._ours = ours
        self._requests = bounded(self._routed, draining)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "http":
            await self._requests(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        else:
            await self._bentoml(scope, receive, send)

    async def _routed(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] not in PROBES:
            await self._ours(scope, receive, send)
        elif scope["method"] in METHODS:
            await self._bentoml(scope, receive, send)
        else:
            await method_refused(scope["path"], METHODS)(scope, receive, send)


def bounded(app: ASGIApp, draining: Callable[[], bool]) -> ASGIApp:
    """Wrap an app in what every request and response of an HTTP port needs."""
    return PathAsSent(ResponseHeaders(UnreadBodies(app), draining))
