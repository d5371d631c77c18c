"""The security headers of every HTTP response. `service/pages` has those of the pages.

No response has `access-control-*`, so a page of another origin cannot read one. No response has `server`.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

EVERY = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))

OVER_TLS = (*EVERY, (b"strict-transport-security", b"max-age=31536000"))


class SecurityHeaders:
    """An ASGI middleware that adds the headers to each response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        added = OVER_TLS if scope["scheme"] == "https" else EVERY

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        await self._app(scope, receive, sending)
