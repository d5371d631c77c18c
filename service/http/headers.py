"""The headers that a middleware adds to every HTTP response, such as nosniff, no-store, and HSTS over TLS.

`service/pages` has the headers of the pages. No response has `access-control-*`, so a page of another origin cannot
read one. No response has `server`.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

EVERY = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))

OVER_TLS = (b"strict-transport-security", b"max-age=31536000")

CLOSE = (b"connection", b"close")
"""While the process drains: uvicorn closes the connection after such a response, and the client connects elsewhere."""


class ResponseHeaders:
    """An ASGI middleware that adds the headers to each response."""

    def __init__(self, app: ASGIApp, draining: Callable[[], bool]) -> None:
        self._app = app
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [*EVERY, *[OVER_TLS] * (scope["scheme"] == "https"), *[CLOSE] * self._draining()]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        await self._app(scope, receive, sending)
