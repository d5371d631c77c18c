"""Raw connections to a deployment's doors: what a request is in bytes, and when its answer is whole."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

from hpack import Decoder, Encoder

from loadtests.doors import Id, Reply, judged_http, judged_rpc
from service.grpc import frames
from service.grpc.tandem.v1 import recommender_pb2 as messages

_RESET = struct.pack("ii", 1, 0)
"""Whoever gives up leaves no port behind that waits for a minute."""

_WINDOW = 1 << 28


class Request:
    """One on its way: when it was due, its bytes, whether it is counted, and by which connection it went."""

    __slots__ = ("at", "connection", "counted", "due", "message", "over")

    def __init__(self, message: bytes, due: float, at: float, counted: bool) -> None:
        self.message, self.due, self.at, self.counted, self.over = message, due, at, counted, False
        self.connection: Connection | None = None


class Connection(asyncio.Protocol):
    """Keeps alive, and has one request under way at most."""

    def __init__(self, answered: Callable[[Connection, int, bytes], None], lost: Callable[[Connection], None]) -> None:
        self._answered, self._lost = answered, lost
        self._buffer = b""
        self.transport: asyncio.Transport | None = None
        self.request: Request | None = None
        self.used = 0
        self.silent = True
        """Whether nothing has come back of what was asked last."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one, and no subclass
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def ask(self, request: Request) -> None:
        """Send one."""
        assert self.transport
        self.request, request.connection = request, self
        self.used += 1
        self.silent = True
        self._write(self.transport, request.message)

    def _write(self, transport: asyncio.Transport, message: bytes) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """At once."""
        if self.transport:
            self.transport.abort()

    def connection_lost(self, _: Exception | None) -> None:
        """By either side."""
        self._lost(self)


class HttpConnection(Connection):
    """HTTP/1.1."""

    _whole = 0

    def _write(self, transport: asyncio.Transport, message: bytes) -> None:
        self._buffer, self._whole = b"", 0
        transport.write(message)

    def data_received(self, data: bytes) -> None:
        """Of the answer."""
        self.silent = False
        self._buffer += data
        if not self._whole and (end := self._buffer.find(b"\r\n\r\n")) > 0:
            self._whole = end + 4 + _length(self._buffer[:end])
        if self._whole and len(self._buffer) >= self._whole:
            head = self._buffer.find(b"\r\n\r\n") + 4
            self._answered(self, int(self._buffer[9:12]), self._buffer[head : self._whole])


def _length(head: bytes) -> int:
    """Of a body; a server that does not tell it is none that this knows."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


class RpcConnection(Connection):
    """gRPC: HTTP/2 with a call at a time, whose head is as gRPC's own clients send it from the second call on."""

    headers: list[tuple[bytes, bytes]]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready, and say that all answers may come."""
        super().connection_made(transport)
        hello = frames.PREFACE + frames.settings([(frames.INITIAL_WINDOW, 1 << 20)])
        cast(asyncio.Transport, transport).write(hello + frames.grant(0, _WINDOW))
        self._encoder, self._decoder = Encoder(), Decoder()
        self._head = b""
        self._got = 0
        self._body = bytearray()

    def _write(self, transport: asyncio.Transport, message: bytes) -> None:
        self._body.clear()
        head = self._head or self._encoder.encode(self.headers)
        if self.used > 1:
            self._head = head  # all of it is in the table by now
        stream = 2 * self.used - 1
        told = frames.frame(frames.HEADERS, frames.END_HEADERS, stream, head)
        transport.write(told + frames.frame(frames.DATA, frames.END_STREAM, stream, message))

    def data_received(self, data: bytes) -> None:
        """Frames; those of a call that was given up are among them."""
        self._buffer += data
        while len(self._buffer) >= frames.HEAD.size:
            high, low, kind, flags, stream = frames.HEAD.unpack_from(self._buffer)
            end = frames.HEAD.size + (high << 8 | low)
            if len(self._buffer) < end:
                return
            payload, self._buffer = self._buffer[frames.HEAD.size : end], self._buffer[end:]
            self._take(kind, flags, stream, payload)

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        assert self.transport
        if kind == frames.DATA:
            self.silent = False
            self._body += payload
            self._got += len(payload)
            if self._got > _WINDOW // 2:
                self.transport.write(frames.grant(0, self._got))
                self._got = 0
        elif kind == frames.HEADERS:
            self.silent = False
            told = dict(self._decoder.decode(payload, raw=True))
            if flags & frames.END_STREAM:
                self._answered(self, int(told.get(b"grpc-status", b"2")), bytes(self._body[5:]))
        elif kind == frames.SETTINGS and not flags & frames.ACK:
            self.transport.write(frames.frame(frames.SETTINGS, frames.ACK, 0))
        elif kind == frames.PING and not flags & frames.ACK:
            self.transport.write(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif kind in {frames.GOAWAY, frames.RST_STREAM} and stream in {0, 2 * self.used - 1} and self.request:
            self.transport.abort()


class HttpWire:
    """What is asked over HTTP."""

    def __init__(self, host: str, k: int, deadline_ms: int) -> None:
        """host: URL. deadline_ms: 0 for the deployment's own."""
        self._k = k
        deadline = f"x-deadline-ms: {deadline_ms}\r\n" if deadline_ms else ""
        place = urlsplit(host).netloc
        head = f"POST /recommend HTTP/1.1\r\nHost: {place}\r\nContent-Type: application/json\r\n{deadline}"
        self._head = f"{head}Content-Length: ".encode()
        self.connection: type[Connection] = HttpConnection

    def message(self, user: Id) -> bytes:
        """The request."""
        body = json.dumps({"user_id": user, "k": self._k}).encode()
        return b"%b%d\r\n\r\n%b" % (self._head, len(body), body)

    def judge(self, status: int, content: bytes) -> Reply:
        """What an answer comes to."""
        return judged_http(status, content, self._k)


class RpcWire:
    """What is asked over gRPC."""

    def __init__(self, host: str, k: int, deadline_ms: int) -> None:
        """As above."""
        self._k = k
        headers = [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", b"/tandem.v1.Recommender/Recommend"),
            (b":authority", urlsplit(host).netloc.encode()),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            (b"user-agent", b"tandem-loadtests"),
            *([(b"x-deadline-ms", str(deadline_ms).encode())] if deadline_ms else []),
        ]
        self.connection: type[Connection] = type("_Connection", (RpcConnection,), {"headers": headers})

    def message(self, user: Id) -> bytes:
        """The request, with the five bytes that are before each message."""
        of = messages.Id(number=user) if isinstance(user, int) else messages.Id(text=user)
        body = messages.RecommendRequest(user_id=of, k=self._k).SerializeToString()
        return struct.pack(">BI", 0, len(body)) + body

    def judge(self, status: int, content: bytes) -> Reply:
        """As above."""
        return judged_rpc(status, content, self._k)


WIRES: dict[str, type[HttpWire] | type[RpcWire]] = {"http": HttpWire, "grpc": RpcWire}
"""By the scheme of an URL."""
