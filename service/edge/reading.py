"""How a connection is read: little at first, and in turns while it is new and where what it sends is large."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from service.edge import bounds
from service.edge.ending import EndingConnection
from service.edge.turns import Turns


class FirstRead(asyncio.BufferedProtocol):
    """Reads once, and little, and gives the transport to its connection.

    A client that has no key has a head and the begin of its body read, and not all that the kernel took ahead.
    """

    def __init__(self, connection: ReadConnection) -> None:
        self._connection = connection
        self._buffer = bytearray()

    def get_buffer(self, _: int) -> bytearray:
        """Its own, once there is something to be read: another thread's loop may read while this one waits."""
        self._buffer = bytearray(bounds.FIRST_READ)
        return self._buffer

    def buffer_updated(self, size: int) -> None:
        """What came is the connection's, and so is what comes."""
        data, self._buffer = bytes(memoryview(self._buffer)[:size]), bytearray()  # uvloop keeps this for a while
        self._connection.begin(data)

    def eof_received(self) -> None:
        """As the connection has it."""
        self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """As the connection has it."""
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        """As the connection has it."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """As the connection has it."""
        self._connection.resume_writing()


class ReadConnection(EndingConnection):
    """uvicorn's HTTP that waits for its turn, and of which the kernel takes little ahead."""

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        if not hasattr(server_state, "tandem_turns"):
            server_state.tandem_turns = (Turns(self.loop, bounds.NEWCOMERS), Turns(self.loop, bounds.LARGE_READS))
        self._newcomers, self._large = server_state.tandem_turns
        self._waits, self._early = False, b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Bound what the kernel keeps of it both ways, and see whether it has to wait."""
        super().connection_made(transport)
        self._buffer(socket.SO_SNDBUF, bounds.SEND_BUFFER)
        self.take_ahead(bounds.HEAD_BUFFER)
        transport.set_protocol(FirstRead(self))
        # It is read but once while it waits: uvloop reads after this even what this has paused.
        self._waits = not self._newcomers.admit(self._come)

    def take_ahead(self, size: int) -> None:
        """Have the kernel take about so many bytes that were not asked for."""
        self._buffer(socket.SO_RCVBUF, size)

    def _buffer(self, which: int, size: int) -> None:
        place = self.transport.get_extra_info("socket")
        if place is not None and place.family != socket.AF_UNIX:
            place.setsockopt(socket.SOL_SOCKET, which, size)

    def begin(self, data: bytes) -> None:
        """The first of it was read; where it waits, nothing else is until its turn."""
        self.transport.pause_reading()  # a transport that reads goes on as its protocol was when it began to
        self.transport.set_protocol(self)
        if self._waits and not self._ending:
            self._early = data
            return
        if not self.flow.read_paused:  # where it is refused it may be, which uvloop forgot
            self.transport.resume_reading()
        self.data_received(data)

    def _come(self) -> None:
        self._waits, early, self._early = False, self._early, b""
        if early and not self.transport.is_closing():
            self.begin(early)

    def read_on(self) -> None:
        """More of what is large was read: what comes behind it is, in its turn."""
        if not self._large.admit(self.flow.resume_reading):
            self.flow.pause_reading()
