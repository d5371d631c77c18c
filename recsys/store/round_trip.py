"""One round trip of many commands over redis-py's own connections, for the hot path.

A pipeline of redis-py guards, times and reports each reply by itself, and its pool each connection that it lends: of
four short replies that is most of the time. Connecting, authentication and TLS stay redis-py's; what it has connected
is asked and read here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import hiredis
import redis
import redis.asyncio
from redis._parsers.base import BaseParser

Command = tuple[bytes, ...]

KEEPS = 16
"""Connections that stay open when nobody asks: batches leave two at a time."""

_NOT_YET = object()
_packed: Callable[[Command], bytes] = hiredis.pack_command  # type: ignore[assignment]  # its hint is of a tuple of one
_NO_REPLY = hiredis.PushNotification, redis.ConnectionError  # the second where it is still loading, say


class RoundTrips:
    """As many connections as there are questions under way; some stay open. It belongs to one event loop."""

    def __init__(self, client: redis.asyncio.Redis, seconds: float) -> None:
        """client: says how to connect. seconds: in which an answer has to be there."""
        self._pool = client.connection_pool
        self._seconds = seconds
        self._keeps = KEEPS
        self._idle: list[_Line] = []

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """The reply to each command; one that is refused is an error among them.

        redis.RedisError where there is no answer in time, or no connection: one that broke is made anew, once. A
        connection whose replies nobody waits for any more is closed: whoever comes next must not get them.
        """
        data = b"".join(map(_packed, commands))
        line = self._kept() or await self._opened()
        try:
            return await self._asked(line, data, len(commands))
        except redis.ConnectionError:
            return await self._asked(await self._opened(), data, len(commands))

    async def close(self) -> None:
        """Let go of all, those under way once they are answered."""
        self._keeps = 0
        while self._idle:
            self._idle.pop().close()

    async def _asked(self, line: _Line, data: bytes, count: int) -> list[Any]:
        try:
            replies = await line.ask(data, count, self._seconds)
        except BaseException:
            line.close()
            raise
        if len(self._idle) < self._keeps:
            self._idle.append(line)
        else:
            line.close()
        return replies

    def _kept(self) -> _Line | None:
        while self._idle:
            line = self._idle.pop()
            if line.open:
                return line
            line.close()
        return None

    async def _opened(self) -> _Line:
        connection = self._pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py has no hint for it
        await connection.connect()
        return _Line(connection)


class _Line(asyncio.Protocol):
    """A connection that redis-py made, with one question at a time."""

    def __init__(self, connection: redis.asyncio.Connection) -> None:
        self._connection = connection  # what it has of streams would close the transport if it went
        assert connection._writer is not None
        self._transport: asyncio.WriteTransport = connection._writer.transport
        self._reader = hiredis.Reader(
            protocolError=redis.InvalidResponse, replyError=BaseParser.parse_error, notEnoughData=_NOT_YET
        )
        self._replies: list[Any] = []
        self._count = 0
        self._answer: asyncio.Future[list[Any]] | None = None
        self._transport.set_protocol(self)

    @property
    def open(self) -> bool:
        """Whether it can be asked, as far as one knows."""
        return not self._transport.is_closing()

    async def ask(self, data: bytes, count: int, seconds: float) -> list[Any]:
        """So many replies to what is sent; redis.RedisError where they do not come, and then it is to be closed."""
        loop = asyncio.get_running_loop()
        self._replies, self._count, self._answer = [], count, loop.create_future()
        timer = loop.call_later(seconds, self._late, seconds)
        self._transport.write(data)
        try:
            return await self._answer
        finally:
            timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Read replies; what is said to nobody's question ends the connection."""
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not _NOT_YET:
                if not isinstance(reply, _NO_REPLY):
                    self._replies.append(reply)
                elif isinstance(reply, redis.ConnectionError):
                    raise reply
        except redis.RedisError as error:
            self._break(error)
            return
        if len(self._replies) > self._count:
            self._break(redis.InvalidResponse("more replies than commands"))
        elif len(self._replies) == self._count and self._answer and not self._answer.done():
            self._answer.set_result(self._replies)
            self._replies, self._count = [], 0

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits is told."""
        self._break(redis.ConnectionError("the connection was closed" if exc is None else str(exc)))

    def _late(self, seconds: float) -> None:
        self._break(redis.TimeoutError(f"no answer within {seconds:g} seconds"))

    def _break(self, error: redis.RedisError) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(error)
        self.close()

    def close(self) -> None:
        """Let go of it."""
        self._connection._close()  # type: ignore[no-untyped-call]
        self._transport.abort()
