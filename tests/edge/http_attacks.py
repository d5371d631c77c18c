"""Attacks on the HTTP server, such as slow, endless and smuggled requests, through the proxy."""

from __future__ import annotations

import asyncio
import gzip
import re
import socket
import time
from functools import cache, partial

from tests.edge.attack import HELD_SECONDS, SOURCES, Attack, Tally, Write, half, hold, once, pour, trickle
from tests.edge.smuggling import PROBES

HEAD = b"POST /recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"

PAUSE = 0.05
"""Seconds between the requests of a client that reads no answer. Above 16 KiB at once requests are refused."""

_REFUSAL = re.compile(rb"HTTP/1\.1 ([45]\d\d) ")


def refusal(received: bytes) -> str:
    """The status of the first answer that is a refusal."""
    found = _REFUSAL.search(received)
    return found[1].decode() if found else ""


def _holding(write: Write) -> Attack:
    return lambda port, count: hold(port, count, write, refusal)


async def unread(port: int, count: int) -> Tally:
    """Send requests without reading an answer, until the connection is closed."""
    tally = Tally(count)
    await asyncio.gather(*(_unread(tally, port, SOURCES[number % len(SOURCES)]) for number in range(count)))
    return tally


async def _unread(tally: Tally, port: int, source: str) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as opened:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        opened.bind((source, 0))
        start = time.monotonic()
        try:
            async with asyncio.timeout(HELD_SECONDS):
                await loop.sock_connect(opened, ("127.0.0.1", port))
                while True:
                    await loop.sock_sendall(opened, b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n" * 32)
                    await asyncio.sleep(PAUSE)
        except TimeoutError:
            return
        except OSError:
            tally.stop(time.monotonic() - start, "closed")


async def smuggling(port: int, count: int) -> Tally:
    """Send every probe so many times; the hidden request must not reach a gateway."""
    tally = Tally(0)
    tallies = await asyncio.gather(*(_smuggling(port, count, name) for name in PROBES))
    for each in tallies:
        tally.add(each)
    return tally


async def _smuggling(port: int, count: int, name: str) -> Tally:
    answers: list[bytes] = []
    tally = await hold(port, count, once(PROBES[name]), partial(_answered, answers))
    for answer in answers:
        if b"smuggled" in answer:
            tally.wrong.append(f"{name}: the hidden request was answered: {answer[:200]!r}")
        if b"HTTP/1.1 500" in answer or b"HTTP/1.1 502" in answer:
            tally.wrong.append(f"{name}: {answer[:200]!r}")
    return tally


def _answered(answers: list[bytes], received: bytes) -> str:
    """The status of the first answer; adds the received bytes to `answers`."""
    answers.append(received)
    return received[9:12].decode("latin-1")


@cache
def _bomb() -> bytes:
    packed = gzip.compress(bytes(20 << 20))
    return HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(packed) + packed


ATTACKS: dict[str, Attack] = {
    "nothing sent": _holding(trickle(b"", b"")),
    "slow heads": _holding(trickle(HEAD, b"x-a: b\r\n")),
    "slow bodies": _holding(once(HEAD + b"content-length: 9999\r\n\r\n{")),
    "dripping bodies": _holding(trickle(HEAD + b"content-length: 9999\r\n\r\n{", b" ")),
    "dripping chunks": _holding(trickle(CHUNKED, b"1\r\n \r\n")),
    "half of a large body": _holding(half(HEAD + b"content-length: 4000000\r\n\r\n{", 8)),
    "answers not read": unread,
    "endless chunks": _holding(pour(CHUNKED, b"10000\r\n" + b" " * 65_536 + b"\r\n")),
    "a large head": _holding(once(HEAD + b"x-a: " + b"b" * (1 << 20) + b"\r\n\r\n")),
    "many headers": _holding(once(HEAD + b"a: b\r\n" * 10_000 + b"\r\n")),
    "a body of a gigabyte": _holding(pour(HEAD + b"content-length: 1000000000\r\n\r\n", b" " * 65_536)),
    "packed bombs": lambda port, count: hold(port, count, once(_bomb()), refusal),
    "smuggling": smuggling,
}
