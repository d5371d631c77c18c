"""What strangers do to the HTTP door, from a process of their own that stands aside.

`python -m tests.edge.attacks NAME PORT COUNT SECONDS RATE`: again and again for so long, with so many new connections a
second at most; 0 is no limit.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import select
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache

from tests.edge.elsewhere import stand_aside
from tests.edge.smuggling import PROBES

PATIENCE = 13.0
"""Seconds after which a connection counts as held."""

PAUSE = 0.01
"""Between connections that ask for something: what they do not read is what costs, and not that they ask."""

HEAD = b"POST /recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


@dataclass
class Told:
    """What became of the connections. closed: how many. slowest: seconds until the last was."""

    connections: int
    closed: int = 0
    slowest: float = 0.0
    said: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def add(self, more: Told) -> None:
        """And of these."""
        self.connections, self.closed = self.connections + more.connections, self.closed + more.closed
        self.slowest = max(self.slowest, more.slowest)
        self.wrong += more.wrong
        for what, count in more.said.items():
            self.said[what] = self.said.get(what, 0) + count


Write = Callable[[asyncio.StreamWriter], Awaitable[None]]

Attack = Callable[[int, int], Awaitable[Told]]
"""By a port, and how many connections."""


async def _held(port: int, write: Write) -> tuple[float | None, bytes]:
    """Open a connection, do this to it, and read; seconds until it was closed, and what it said."""
    start, said = time.monotonic(), bytearray()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return 0.0, b"refused"
    start = time.monotonic()
    writing = asyncio.create_task(_quietly(write(writer)))
    try:
        async with asyncio.timeout(PATIENCE):
            with suppress(OSError):
                while part := await reader.read(1 << 16):
                    said += part
                    del said[1 << 20 :]
        return time.monotonic() - start, bytes(said)
    except TimeoutError:
        return None, bytes(said)
    finally:
        writing.cancel()
        writer.transport.abort()


async def _quietly(work: Awaitable[None]) -> None:
    with suppress(OSError):
        await work


async def _many(port: int, count: int, write: Write) -> Told:
    told = Told(count)
    for seconds, said in await asyncio.gather(*(_held(port, write) for _ in range(count))):
        status = said[9:12].decode("latin-1") or "nothing"
        told.said[status] = told.said.get(status, 0) + 1
        if seconds is not None:
            told.closed += 1
            told.slowest = max(told.slowest, seconds)
    return told


def _trickle(first: bytes, drop: bytes, pause: float = 1.0) -> Write:
    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            await asyncio.sleep(pause)
            writer.write(drop)
            await writer.drain()

    return write


def _half(first: bytes, size: int, part: bytes = b" " * 65_536) -> Write:
    """So many bytes as a network brings them, then drop by drop: one system call of 2 MB would hold one of the cores
    that the attacked share with the attacker.
    """

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        for _ in range(size // len(part)):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        await _trickle(b"", b" ")(writer)

    return write


def _pour(first: bytes, part: bytes) -> Write:
    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)  # `drain` gives way to nobody while the kernel takes all

    return write


def _once(data: bytes) -> Write:
    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return write


async def unread(port: int, count: int, path: bytes = b"/openapi.json") -> Told:
    """Ask for what is large, several times ahead, and take nothing of it."""
    asked = (b"GET " + path + b" HTTP/1.1\r\nhost: x\r\n\r\n") * 8
    told, poll, places = Told(count), select.poll(), {}
    for _ in range(count):
        place = socket.socket()
        place.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        place.connect(("127.0.0.1", port))
        place.sendall(asked)
        places[place.fileno()] = place, time.monotonic()
        poll.register(place, select.POLLRDHUP)
        await asyncio.sleep(PAUSE)
    end = time.monotonic() + PATIENCE
    while places and (left := end - time.monotonic()) > 0:
        for number, _ in await asyncio.to_thread(poll.poll, 1000 * left):
            poll.unregister(number)
            place, start = places.pop(number)
            place.close()
            told.closed, told.slowest = told.closed + 1, max(told.slowest, time.monotonic() - start)
    for place, _ in places.values():
        place.close()
    return told


async def smuggling(port: int, count: int) -> Told:
    """Every probe, so many times; what is hidden behind it may not be answered."""
    told = Told(0)
    for name, data in PROBES.items():
        one = await _many_of(port, count, data)
        told.connections, told.closed = told.connections + count, told.closed + sum(s is not None for s, _ in one)
        told.slowest = max([told.slowest, *(seconds for seconds, _ in one if seconds is not None)])
        for seconds, said in one:
            status = said[9:12].decode("latin-1") or "nothing"
            told.said[status] = told.said.get(status, 0) + 1
            if seconds is None:
                told.wrong.append(f"{name}: held")
            if b"smuggled" in said:
                told.wrong.append(f"{name}: what was hidden behind it is answered: {said[:200]!r}")
            if b"HTTP/1.1 5" in said:
                told.wrong.append(f"{name}: {said[:200]!r}")
    return told


async def _many_of(port: int, count: int, data: bytes) -> list[tuple[float | None, bytes]]:
    return await asyncio.gather(*(_held(port, _once(data)) for _ in range(count)))


@cache
def _packed() -> bytes:
    bomb = gzip.compress(bytes(20 << 20))
    return HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(bomb) + bomb


ATTACKS: dict[str, Attack] = {
    "nothing said": lambda port, count: _many(port, count, _trickle(b"", b"")),
    "line breaks alone": lambda port, count: _many(port, count, _trickle(b"\r\n", b"\r\n")),
    "slow heads": lambda port, count: _many(port, count, _trickle(HEAD, b"x-a: b\r\n")),
    "slow bodies": lambda port, count: _many(port, count, _trickle(HEAD + b"content-length: 9999\r\n\r\n{", b" ")),
    "slow bodies that nobody reads": lambda port, count: _many(
        port, count, _trickle(b"GET /status HTTP/1.1\r\nhost: x\r\ncontent-length: 9999\r\n\r\n{", b" ")
    ),
    "slow chunks": lambda port, count: _many(
        port, count, _trickle(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n")
    ),
    "half of a large body": lambda port, count: _many(
        port, count, _half(HEAD + b"content-length: 4000000\r\n\r\n{", 2_000_000)
    ),
    "answers not read": unread,
    "endless chunks": lambda port, count: _many(
        port, count, _pour(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65_536 + b"\r\n")
    ),
    "a body of a gigabyte": lambda port, count: _many(
        port, count, _pour(HEAD + b"content-length: 1000000000\r\n\r\n", b" " * 65_536)
    ),
    "packed bombs": lambda port, count: _many(port, count, _once(_packed())),
    "smuggling": smuggling,
}


def act(attacks: dict[str, Attack]) -> None:
    """Do the one that the command line names, and tell what became of it as JSON."""
    name, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    seconds, rate = map(float, sys.argv[4:])
    stand_aside()
    told, start = Told(0), time.monotonic()
    while not told.connections or time.monotonic() - start < seconds:
        told.add(asyncio.run(_done(attacks[name], port, count)))
        time.sleep(max(0.0, start + told.connections / rate - time.monotonic()) if rate else 0.0)
    json.dump(asdict(told), sys.stdout)


async def _done(attack: Attack, port: int, count: int) -> Told:
    return await attack(port, count)


if __name__ == "__main__":
    act(ATTACKS)
