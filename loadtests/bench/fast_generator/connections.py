"""Client connections of the fast load generator, to the service's HTTP server or to its gRPC server.

HTTP/1.1 is written to asyncio's transports directly, without a client library; gRPC uses its own client over a few
channels.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from itertools import cycle
from typing import TypeAlias, cast
from urllib.parse import urlsplit

import grpc

from loadtests.doors import Id, Reply, judged_http, judged_rpc, judged_verb
from service.grpc.tandem.v1 import recommender_pb2 as messages

_RESET = struct.pack("ii", 1, 0)
"""A connection that is given up is reset, so its port is free at once."""

RECOMMEND = "/tandem.v1.Recommender/Recommend"

CHANNELS = 8
"""Channels of gRPC, each with a connection of its own, so that all gateway processes get requests."""

Answered: TypeAlias = Callable[["Connection", int, bytes], None]
"""Called with the status and the body of an answer."""

Lost: TypeAlias = Callable[["Connection", bool], None]
"""Called when a connection is closed, with whether the server had closed it before it read the last request."""


class Request:
    """A request: when it was due, its bytes, whether it is counted, and its connection."""

    __slots__ = ("at", "connection", "counted", "due", "message", "over")

    def __init__(self, message: bytes, due: float, at: float, counted: bool) -> None:
        self.message, self.due, self.at, self.counted, self.over = message, due, at, counted, False
        self.connection: Connection | None = None


class Connection:
    """A connection with at most one request under way. Its classes have `open`, `send` and `close`."""

    def __init__(self, answered: Answered, lost: Lost) -> None:
        self._answered, self._lost = answered, lost
        self.request: Request | None = None


class HttpConnection(Connection, asyncio.Protocol):
    """HTTP/1.1, kept alive."""

    _transport: asyncio.Transport
    _whole = 0

    def __init__(self, answered: Answered, lost: Lost) -> None:
        super().__init__(answered, lost)
        self._buffer = b""
        self._used = 0
        self._silent = True  # no byte has arrived since the last request was sent

    @property
    def open(self) -> bool:
        """Whether neither side has closed the connection."""
        return not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the socket up."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's class has the same methods
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def send(self, request: Request) -> None:
        """Send a request."""
        self.request, request.connection = request, self
        self._used += 1
        self._silent = True
        self._buffer, self._whole = b"", 0
        self._transport.write(request.message)

    def close(self) -> None:
        """Reset the connection."""
        self._transport.abort()

    def connection_lost(self, _: Exception | None) -> None:
        """Report the end of the connection."""
        self._lost(self, self._used > 1 and self._silent)

    def data_received(self, data: bytes) -> None:
        """Read a part of the answer."""
        self._silent = False
        self._buffer += data
        if not self._whole and (end := self._buffer.find(b"\r\n\r\n")) > 0:
            self._whole = end + 4 + _length(self._buffer[:end])
        if self._whole and len(self._buffer) >= self._whole:
            head = self._buffer.find(b"\r\n\r\n") + 4
            self._answered(self, int(self._buffer[9:12]), self._buffer[head : self._whole])


def _length(head: bytes) -> int:
    """The length of the body, by its header; 0 without one."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


class GrpcConnection(Connection):
    """A place for one gRPC call at a time, over one of several channels of gRPC's own client."""

    def __init__(self, answered: Answered, lost: Lost, channel: grpc.aio.Channel) -> None:
        super().__init__(answered, lost)
        self._method = channel.unary_unary(RECOMMEND)
        self._call: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def open(self) -> bool:
        """Whether `close` was not called: the channel reconnects by itself."""
        return not self._closed

    def send(self, request: Request) -> None:
        """Send a request."""
        self.request, request.connection = request, self
        self._call = asyncio.get_running_loop().create_task(self._call_method(request.message))

    async def _call_method(self, message: bytes) -> None:
        try:
            status, answer = 0, await self._method(message)
        except grpc.aio.AioRpcError as error:
            status, answer = error.code().value[0], b""
        self._answered(self, status, answer)

    def close(self) -> None:
        """Cancel the call that is under way."""
        self._closed = True
        if self._call:
            self._call.cancel()
        self._lost(self, False)


class HttpProtocol:
    """The requests over HTTP."""

    def __init__(self, host: str, k: int, path: str = "/recommend", body: str = "") -> None:
        """host: URL. body: JSON in which "{id}" stands for the user or the item; "": a request for a slate of k."""
        self._k, self._is_slate = k, path == "/recommend"
        self._body = body or json.dumps({"user_id": "{id}", "k": k})
        parts = urlsplit(host)
        place, self._place = parts.netloc, (parts.hostname or "127.0.0.1", parts.port or 80)
        head = f"POST {path} HTTP/1.1\r\nHost: {place}\r\nContent-Type: application/json\r\n"
        self._head = f"{head}Content-Length: ".encode()

    async def connect(self, answered: Answered, lost: Lost) -> HttpConnection:
        """Open a connection; OSError if the server accepts none."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: HttpConnection(answered, lost), *self._place)
        return connection

    async def close(self) -> None:
        """Connections share nothing."""

    def message(self, user: Id) -> bytes:
        """The request."""
        body = self._body.replace('"{id}"', json.dumps(user)).encode()
        return b"%b%d\r\n\r\n%b" % (self._head, len(body), body)

    def judge(self, status: int, content: bytes) -> Reply:
        """The outcome of an answer."""
        return judged_http(status, content, self._k) if self._is_slate else judged_verb(status, content)


class GrpcProtocol:
    """The requests over gRPC."""

    def __init__(self, host: str, k: int) -> None:
        """As in `HttpProtocol`."""
        self._k = k
        self._target = urlsplit(host).netloc
        self._channels: list[grpc.aio.Channel] = []

    async def connect(self, answered: Answered, lost: Lost) -> GrpcConnection:
        """A place for a call; its channel connects with the first call."""
        if not self._channels:
            options = [("grpc.use_local_subchannel_pool", 1)]
            self._channels = [grpc.aio.insecure_channel(self._target, options) for _ in range(CHANNELS)]
            self._next = cycle(self._channels)
        return GrpcConnection(answered, lost, next(self._next))

    async def close(self) -> None:
        """Close the channels."""
        for channel in self._channels:
            await channel.close()

    def message(self, user: Id) -> bytes:
        """The request."""
        of = messages.Id(number=user) if isinstance(user, int) else messages.Id(text=user)
        return messages.RecommendRequest(user_id=of, k=self._k).SerializeToString()

    def judge(self, status: int, content: bytes) -> Reply:
        """As in `HttpProtocol`."""
        return judged_rpc(status, content, self._k)
