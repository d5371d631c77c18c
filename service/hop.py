"""The caller's side of a hop: one POST of raw rows to a service's socket, over connections that stay open.

As little HTTP as the servers of one deployment need among themselves; `service.lane` answers it.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable
from functools import lru_cache
from itertools import cycle, islice
from typing import NamedTuple, cast
from urllib.parse import unquote, urlsplit

import numpy as np

from recsys.errors import StageError
from service.lane import PREFIX, WIDTH
from service.places import Places, watch

_LENGTH, _WIDTH = (re.compile(rb"\r\n" + name + rb":\s*(\d+)") for name in (b"content-length", WIDTH))

KEPT_SECONDS = 1.0
"""How long a connection is kept, on average. Whichever worker of a service accepted it gets all its calls, so calls
spread over workers as often as connections are made anew."""

CONNECT_SECONDS = 0.025
"""How long one address may take to take a connection, before another is asked, or the same name once more: the kernel
answers for a service that is busy, so only a host that is gone says nothing. Beyond a second the network lost it."""

CONNECT_TRIES = 3
"""Of one call; what is left of a request's deadline bounds them all."""

HEADS = 256
"""Heads of calls and of answers that are cached: they differ in their number of rows alone."""


class _Told(NamedTuple):
    """What the head of an answer says: how it went, and how many bytes all rows and each of them are."""

    status: str
    length: int
    width: int


_NOTHING = _Told("", 0, 0)


class Hop:
    """Calls one service; as many connections as there are calls under way, and kept for a while."""

    def __init__(self, url: str, more: Callable[[], str] | None = None) -> None:
        """url: file:// and a socket's path, or tcp:// or http:// and a name, of one host or of several.

        more: headers of a call.
        """
        self._url = urlsplit(url)
        self._places = None if self._url.scheme == "file" else Places(self._url.hostname or "", self._url.port)
        self._more = more
        self._idle: list[_Connection] = []

    async def call(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Rows [B, W] uint8 to an API, and the rows that it answers; StageError where there is none.

        A connection that was open may have been closed from the other side meanwhile: then it is asked once more, on a
        new one. A call that is cancelled closes its connection; whoever comes next must not get its answer.
        """
        body = np.ascontiguousarray(rows)
        head = _call_head(name, *body.shape)
        if self._more is not None:
            head = b"%b%b\r\n" % (head[:-2], self._more().encode())
        while True:
            kept = self._kept()
            connection = kept or await self._opened()
            try:
                answer = await connection.ask(head, body.data.cast("B"))
            except ConnectionError as error:
                connection.close()
                if kept is None:
                    raise StageError(f"{name}: {str(error) or 'the connection was closed'}") from error
                continue
            except BaseException:
                connection.abort()
                raise
            self._idle.append(connection)
            return answer

    def _kept(self) -> _Connection | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.open and now < connection.until:
                return connection
            connection.close()
        return None

    async def _opened(self) -> _Connection:
        try:
            if self._places is not None:
                return await self._opened_at(self._places)
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_unix_connection(_Connection, unquote(self._url.path))
        except OSError as error:
            raise StageError(f"nobody listens at {self._url.geturl()}: {error}") from error
        return connection

    async def _opened_at(self, places: Places) -> _Connection:
        """A connection to one of several addresses, to whichever answers; OSError where none does."""
        loop, said = asyncio.get_running_loop(), OSError("the name has no address")
        for address in islice(cycle(await places.in_turn()), CONNECT_TRIES):
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    transport, connection = await loop.create_connection(_Connection, address, places.port)
                watch(transport.get_extra_info("socket"))
                return connection
            except OSError as error:  # TimeoutError is one
                places.was_late(address)
                said = error if str(error) else OSError(f"{address} did not answer")
        raise said


class _Connection(asyncio.Protocol):
    """One call at a time."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[np.ndarray] | None = None
        self._data = bytearray()
        self._body = -1  # where it begins; -1 until the whole head is here
        self._told = _NOTHING
        # Not all at once: the next ones would be accepted together, by one worker.
        self.until = asyncio.get_running_loop().time() + KEPT_SECONDS * random.uniform(0.5, 1.5)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready to be asked."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    @property
    def open(self) -> bool:
        """Whether it can be asked, as far as one knows."""
        return not self._transport.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits is told."""
        if self._answer and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the connection was closed" if exc is None else str(exc)))

    def data_received(self, data: bytes) -> None:
        """Collect an answer; its head says how long it is."""
        self._data += data
        if self._body < 0:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                return
            self._body, self._told = end + 4, _told_by(bytes(self._data[:end]))
        if len(self._data) >= self._body + self._told.length and self._answer and not self._answer.done():
            try:
                self._answer.set_result(self._rows())
            except StageError as error:
                self._answer.set_exception(error)

    async def ask(self, head: bytes, body: memoryview) -> np.ndarray:
        """Send a request and wait for its answer; ConnectionError where there is none to come."""
        if not self.open:
            raise ConnectionResetError("the connection was closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._data, self._body = bytearray(), -1
        self._transport.writelines([head, body])
        return await self._answer

    def close(self) -> None:
        """Let go of it."""
        self._transport.close()

    def abort(self) -> None:
        """Let go of it, and of what waits to be sent: over a network that is gone it would wait for as long."""
        self._transport.abort()

    def _rows(self) -> np.ndarray:
        """The rows of an answer; StageError where it is none."""
        status, length, width = self._told
        if status != "200" or not width:
            raise StageError(f"the service answered {status}")
        return np.frombuffer(self._data, np.uint8, length, self._body).reshape(-1, width)


@lru_cache(HEADS)
def _call_head(name: str, count: int, width: int) -> bytes:
    """The head of a call of `count` rows."""
    lines = f"host: hop\r\n{WIDTH.decode()}: {width}\r\ncontent-length: {count * width}\r\n\r\n"
    return f"POST {PREFIX}{name} HTTP/1.1\r\n{lines}".encode()


@lru_cache(HEADS)
def _told_by(head: bytes) -> _Told:
    """What a head says; 0 for what it does not."""
    told = head.lower()
    return _Told(head[9:12].decode("ascii", "replace"), _number(_LENGTH, told), _number(_WIDTH, told))


def _number(field: re.Pattern[bytes], head: bytes) -> int:
    found = field.search(head)
    return int(found[1]) if found else 0
