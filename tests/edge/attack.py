"""Tools for attacks on servers: connections from several addresses, and their outcomes."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field

HELD_SECONDS = 13.0
"""A connection that is open for longer counts as held."""

SOURCES = [f"127.0.1.{number}" for number in range(1, 11)] if sys.platform == "linux" else ["127.0.0.1"]
"""Addresses of the attacker, as of several machines: a limit for each address does not stop the attack."""


@dataclass
class Tally:
    """The connections of an attack.

    stopped: closed or refused. slowest: seconds until the last of these. answers: their number by status.
    """

    connections: int
    stopped: int = 0
    slowest: float = 0.0
    answers: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def stop(self, seconds: float, answer: str) -> None:
        """Count a connection that was closed or refused after so many seconds."""
        self.stopped, self.slowest = self.stopped + 1, max(self.slowest, seconds)
        self.answers[answer] = self.answers.get(answer, 0) + 1

    def add(self, other: Tally) -> None:
        """Add the connections of another attack."""
        self.connections, self.stopped = self.connections + other.connections, self.stopped + other.stopped
        self.slowest, self.wrong = max(self.slowest, other.slowest), self.wrong + other.wrong
        for answer, count in other.answers.items():
            self.answers[answer] = self.answers.get(answer, 0) + count


POUR = 0.005
"""Seconds between parts of 64 KiB: ten connections send 1 Gbit/s, as over a network.

Over loopback an attacker without this limit takes all of the CPU, which is no effect of its requests.
"""

Write = Callable[[asyncio.StreamWriter], Awaitable[None]]
"""Writes to a connection."""

Attack = Callable[[int, int], Coroutine[None, None, Tally]]
"""An attack on a port by so many connections."""

Refusal = Callable[[bytes], str]
"""The status of a refusal in the received bytes; empty without one."""

_sources = itertools.cycle(SOURCES)


async def connect(port: int, limit: int = 1 << 16) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection from the next address of the attacker."""
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(next(_sources), 0), limit=limit)


async def hold(port: int, count: int, write: Write, refusal: Refusal) -> Tally:
    """Open so many connections, write to each, and read from each until it is closed or HELD_SECONDS have passed."""
    tally = Tally(count)
    await asyncio.gather(*(_hold(tally, port, write, refusal) for _ in range(count)))
    return tally


async def _hold(tally: Tally, port: int, write: Write, refusal: Refusal) -> None:
    try:
        reader, writer = await connect(port)
    except OSError:
        tally.stop(0.0, "no connection")
        return
    start, received, refused = time.monotonic(), bytearray(), ""
    writing = asyncio.create_task(quietly(write(writer)))
    with suppress(TimeoutError):
        async with asyncio.timeout(HELD_SECONDS):
            with suppress(OSError):
                while part := await reader.read(1 << 16):
                    received += part
                    del received[1 << 20 :]
                    if not refused and (refused := refusal(bytes(received))):
                        tally.stop(time.monotonic() - start, refused)
        if not refused:
            tally.stop(time.monotonic() - start, "closed")
    writing.cancel()
    writer.transport.abort()


async def quietly(work: Awaitable[None]) -> None:
    """Await an operation on a connection that may be closed."""
    with suppress(OSError):
        await work


def once(data: bytes) -> Write:
    """Write these bytes."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return write


def trickle(first: bytes, drop: bytes, pause: float = 1.0) -> Write:
    """Write the first bytes, then a drop after each pause."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            await asyncio.sleep(pause)
            writer.write(drop)
            await writer.drain()

    return write


def pour(first: bytes, part: bytes) -> Write:
    """Write the first bytes, then a part after each POUR, until the connection is closed."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(POUR)

    return write


def half(first: bytes, parts: int, part: bytes = b" " * 65_536) -> Write:
    """Write so many parts, four a second, then drops."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        for _ in range(parts):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.25)
        await trickle(b"", b" ")(writer)

    return write
