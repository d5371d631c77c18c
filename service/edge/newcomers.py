"""New connections are read a few at a time: hundreds that come at once are not what everybody else waits for.

To parse and answer one is a part of a millisecond of the process's one loop, and a loop that finds five hundred of them
would do all of it before it looks at those that were there before.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import Any, ClassVar, Protocol

from service.edge import bounds
from service.edge.ending import EndingConnection


class Newcomer(Protocol):
    """A connection."""

    def wait(self) -> None:
        """Do nothing yet."""

    def come(self) -> None:
        """Go on, if it is still there."""


class Newcomers:
    """Of one server, in the order in which they came."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Newcomer] = deque()
        self._let_in = 0  # since the last turn
        self._turns = False

    @classmethod
    def of(cls, server_state: Any, loop: asyncio.AbstractEventLoop) -> Newcomers:
        """Those of a server, by uvicorn's state of it."""
        found: Newcomers | None = getattr(server_state, "tandem_newcomers", None)
        if found is None:
            found = server_state.tandem_newcomers = cls(loop)
        return found

    def add(self, newcomer: Newcomer) -> None:
        """Let it wait for its turn, where as many as may have come already in this one."""
        if not self._turns:
            self._turns = True
            self._loop.call_later(bounds.TURN_SECONDS, self._turn)
        if self._let_in < bounds.TURN:
            self._let_in += 1
        else:
            self._waiting.append(newcomer)
            newcomer.wait()

    def _turn(self) -> None:
        self._let_in = 0
        while self._waiting and self._let_in < bounds.TURN:
            self._let_in += 1
            self._waiting.popleft().come()
        self._turns = self._let_in > 0
        if self._turns:
            self._loop.call_later(bounds.TURN_SECONDS, self._turn)


class FirstRead(asyncio.BufferedProtocol):
    """Reads once, and little, and gives the transport to its connection.

    A client that has no key has a head and the begin of its body read, and not all that the kernel took ahead.
    """

    _buffer: ClassVar[memoryview] = memoryview(bytearray(bounds.FIRST_READ))  # it is emptied before another reads

    def __init__(self, connection: NewConnection) -> None:
        self._connection = connection

    def get_buffer(self, _: int) -> memoryview:
        """The same for all."""
        return self._buffer

    def buffer_updated(self, size: int) -> None:
        """What came is the connection's, and so is what comes."""
        self._connection.begin(bytes(self._buffer[:size]))

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


class NewConnection(EndingConnection):
    """uvicorn's HTTP that waits for its turn, and of which the kernel takes little ahead."""

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._newcomers = Newcomers.of(server_state, self.loop)
        self._waits, self._early = False, b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Bound what the kernel keeps of it both ways, and see whether it has to wait."""
        super().connection_made(transport)
        self._buffer(socket.SO_SNDBUF, bounds.SEND_BUFFER)
        self.take_ahead(bounds.HEAD_BUFFER)
        transport.set_protocol(FirstRead(self))
        self._newcomers.add(self)

    def take_ahead(self, size: int) -> None:
        """Have the kernel take about so many bytes that were not asked for."""
        self._buffer(socket.SO_RCVBUF, size)

    def _buffer(self, which: int, size: int) -> None:
        place = self.transport.get_extra_info("socket")
        if place is not None and place.family != socket.AF_UNIX:
            place.setsockopt(socket.SOL_SOCKET, which, size)

    def wait(self) -> None:
        """Parse nothing, and read but once: uvloop reads after `connection_made` even what that has paused."""
        self._waits = True

    def begin(self, data: bytes) -> None:
        """The first of it was read; where it waits, nothing else is until its turn."""
        self.transport.pause_reading()  # a transport that reads goes on as its protocol was when it began to
        self.transport.set_protocol(self)
        if self._waits:
            self._early = data
            return
        self.transport.resume_reading()
        self.data_received(data)

    def come(self) -> None:
        """Its turn."""
        self._waits, early, self._early = False, self._early, b""
        if early and not self.transport.is_closing():
            self.transport.resume_reading()
            self.data_received(early)
