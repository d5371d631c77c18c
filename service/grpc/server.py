"""gRPC's server: who comes in, which method is asked, and how it ends. Gateway workers share its port."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextvars import copy_context
from dataclasses import dataclass, field

import grpc

from recsys.errors import QueryError, SettingsError
from service import quiesce
from service.auth.guard import UNAUTHENTICATED
from service.auth.tls import CLOSE_SECONDS
from service.edge import bounds
from service.edge.sweep import Sweep
from service.edge.turns import Turns
from service.grpc import limits, verdict
from service.grpc.call import Call, Once, RpcCall, RpcStream, Streaming
from service.grpc.connection import Connection
from service.grpc.heads import Head, Headers
from service.grpc.sending import SendingConnection
from service.grpc.stream import Stream
from service.grpc.verdict import Refused
from service.ports import place
from service.schema.verdict import error_body

BACKLOG = 2048
SOON = 0.01

Admit = Callable[[str, Headers], None]
"""Lets a call in by its path and metadata; `edge.gate.Refusal` where it does not."""


@dataclass(slots=True)
class Methods:
    """What there is, by path: `/service/method`."""

    calls: dict[str, tuple[RpcCall, int]] = field(default_factory=dict)
    """And how many bytes a message of it may have."""
    streams: dict[str, RpcStream] = field(default_factory=dict)

    def add(self, calls: Mapping[str, RpcCall], largest: int = limits.SMALL_MESSAGE) -> None:
        """More calls."""
        self.calls |= {path: (call, largest) for path, call in calls.items()}

    def add_streams(self, streams: Mapping[str, RpcStream]) -> None:
        """More streams."""
        self.streams |= streams


class Server:
    """Listens on one port; to be made on the loop that serves."""

    def __init__(self, methods: Methods, admit: Admit | None = None) -> None:
        self._methods = methods
        self._admit = admit
        self._connections: set[SendingConnection] = set()
        loop = asyncio.get_running_loop()
        self._sweep = Sweep(self._connections, loop)
        self._newcomers = Turns(loop, limits.NEWCOMERS_A_TURN)
        self._turns = Turns(loop, limits.CONNECTIONS_A_TURN)

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """SettingsError where the port can't be had."""
        self._socket = _bound(host, port)
        scratch = bytearray(limits.READ)  # of one loop, which reads one connection at a time
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._connections, self._sweep, self._newcomers, self._turns, scratch, self.open),
            sock=self._socket,
            backlog=BACKLOG,
            ssl=tls,
            ssl_handshake_timeout=bounds.HANDSHAKE_SECONDS if tls else None,
            ssl_shutdown_timeout=CLOSE_SECONDS if tls else None,
        )

    async def close(self, grace: float = limits.GRACE_SECONDS) -> None:
        """Take nothing new, answer all that came, for `grace` seconds at most, and tell clients which the last was.

        What is on its way then is refused with a GOAWAY that names the last one taken, so that gRPC sends it elsewhere
        by itself.
        """
        if quiesce.refuse_connections(self._socket):
            await asyncio.sleep(quiesce.SETTLE_SECONDS)
        else:
            quiesce.shut(self._socket)  # while it accepts: whoever knocks waits for somebody who never comes
        self._server.close()
        end = time.monotonic() + limits.GOODBYE_SECONDS + grace
        while self._connections and time.monotonic() < end:
            for connection in list(self._connections):
                connection.begin_to_leave()  # one whose handshake has just ended, too
            await asyncio.sleep(SOON)
        for connection in list(self._connections):
            connection.transport.abort()

    def open(self, stream: Stream, head: Head) -> None:
        """A call begins; or it is answered at once."""
        if not head.asks_grpc:
            stream.futile = True
            stream.send(trailers=verdict.NO_GRPC)
            return
        path = head.path
        context = copy_context()
        try:
            if self._admit is not None:
                context.run(self._admit, path, head.headers)
            if head.size > limits.HEADERS:
                raise QueryError(f"A metadata size of more than {limits.HEADERS:,} bytes.", code="too_large")
            call = Call(head)
        except QueryError as error:
            stream.futile = error.code == UNAUTHENTICATED
            _refuse(stream, verdict.refused(error_body(error), getattr(error, "retry_after", None)))
            return
        if (once := self._methods.calls.get(path)) is not None:
            stream.asked = Once(stream, call, context, *once)
        elif (streaming := self._methods.streams.get(path)) is None:
            stream.futile = True
            _refuse(stream, Refused(grpc.StatusCode.UNIMPLEMENTED, "There is no such method here."))
        elif self._too_many(stream):
            _refuse(stream, Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many calls go on without an end."))
        else:
            stream.asked = Streaming(stream, call, context, streaming)

    def _too_many(self, stream: Stream) -> bool:
        """Whether one more that has no end would be, of its connection or of all."""
        if stream.neighbours >= limits.STREAMING_OF_ONE:
            return True
        return sum(each.streaming for each in self._connections) >= limits.STREAMING


def _refuse(stream: Stream, why: Refused) -> None:
    stream.send(trailers=verdict.HEAD + why.trailers)


def _bound(host: str, port: int) -> socket.socket:
    """A socket that workers share."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise SettingsError(f"{place(host, port)} can't be bound. Choose another port: GRPC_PORT=...") from error
    return made
