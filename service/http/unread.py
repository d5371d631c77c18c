"""Ends the connection of a request whose body is not read: the response is sent before the body arrives.

A connection that is closed with unread bytes is reset, and the client may lose the response. So the response is sent
whole, the rest of the body is read and dropped within BODY_SECONDS, and then the connection is closed.

uvicorn does not read the body of a request with `upgrade`, and would parse that body as the next request. So such a
connection is closed too: behind a proxy the body of one client would be a request that the proxy has not seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http import bodies
from service.schema.errors import MAX_BODY

SMALL_BODY = 16 << 10
"""Bytes of an unread body after which a connection stays open: uvicorn drops so many itself."""

LATE_SECONDS = 1.0
"""Time for the client to read a 408 that is sent at the end of BODY_SECONDS."""

DROPPED_BYTES = 2 * MAX_BODY
"""Bytes of an unread body that are read and dropped, at most."""

_CLOSE = (b"connection", b"close")


class UnreadBodies:
    """An ASGI middleware that closes a connection after a response that leaves a body unread."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and _may_be_unread(scope["headers"]):
            body = _Body(receive, send, closes=_upgrades(scope["headers"]))
            await self._app(scope, body.receive, body.send)
        else:
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
            await self._send(_with_close(message) if self._closes else message)
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


def _with_close(message: Message) -> Message:
    headers = list(message.get("headers", ()))
    return message if _CLOSE in headers else {**message, "headers": [*headers, _CLOSE]}


def _may_be_unread(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a body may be larger than SMALL_BODY, comes only if the server sends 100 Continue, or is not read."""
    return any(
        name in {b"transfer-encoding", b"expect", b"upgrade"} or (name == b"content-length" and int(value) > SMALL_BODY)
        for name, value in headers
    )


def _upgrades(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(name == b"upgrade" for name, _ in headers)
