"""The end of a connection whose request body is left unread: a middleware sends the complete response before it closes.

A connection that is closed with unread bytes is reset, and the client may lose the response. So the rest of the body is
read and dropped within BODY_SECONDS, and then the connection is closed.

uvicorn does not read the body of a request with `upgrade`, and would parse that body as the next request. So such a
connection is closed too: behind a proxy the body of one client would be a request that the proxy has not seen.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http import bodies
from service.schema.errors import MAX_BODY

SMALL_BODY = 16 << 10
"""Bytes of an unread body after which a connection stays open: uvicorn drops so many itself."""

LATE_SECONDS = 1.0
"""Time for the client to read a 408 that is sent at the end of BODY_SECONDS."""

DROPPED_BYTES = 2 * MAX_BODY
"""Bytes of an unread body that are read and dropped, at most."""


class UnreadBodies:
    """An ASGI middleware that closes a connection after a response that leaves a body unread."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        headers = dict(scope["headers"]) if scope["type"] == "http" else {}
        # a body of unknown size, one that comes only if the server sends 100 Continue, one that uvicorn does not read
        unsure = headers.keys() & {b"transfer-encoding", b"expect", b"upgrade"}
        if unsure or int(headers.get(b"content-length", 0)) > SMALL_BODY:
            body = _Body(receive, send, closes=b"upgrade" in headers)
            receive, send = body.receive, body.send
        await self._app(scope, receive, send)


class _Body:
    """The body of one request, with the response to that request."""

    def __init__(self, receive: Receive, send: Send, closes: bool) -> None:
        """closes: whether the connection is closed even if the body seems to be read."""
        self._receive = receive
        self._send = send
        self._end = asyncio.get_running_loop().time() + bodies.BODY_SECONDS + LATE_SECONDS
        self._read, self._closes = False, closes

    async def receive(self) -> Message:
        message = await self._receive()
        self._read = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._closes = self._closes or not self._read
            if self._closes:
                MutableHeaders(scope=message)["connection"] = "close"
            await self._send(message)
        elif self._closes and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._drop()
            await self._send({"type": "http.response.body", "body": b""})
        else:
            await self._send(message)

    async def _drop(self) -> None:
        dropped = 0
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._end):
                while not self._read and dropped < DROPPED_BYTES:
                    dropped += len((await self.receive()).get("body", b""))
