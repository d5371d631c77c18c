"""Where a service runs that is not this host's: addresses behind its name, and sockets that notice a dead network."""

from __future__ import annotations

import asyncio
import random
import socket
from contextlib import suppress
from urllib.parse import urlsplit

PORT = 3000
"""Where a service listens whose URL names no port: `PORT` has the same."""

FRESH_SECONDS = 2.0
"""Age from which a name is asked for again, beside the calls: pods come and go, and a resolver may take its time."""

REST_SECONDS = 1.0
"""An address that did not answer a connection in time is asked last for so long."""

DEAD_MS = 2000
"""How long sent bytes may stay unacknowledged before the kernel gives a connection up; left to itself it tries for a
quarter of an hour."""


def require_place(url: str) -> str:
    """The URL of a service on another host, empty for none; ValueError says what it should be."""
    if not url:
        return url
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "tcp") and parts.hostname and parts.port != 0
    except ValueError:  # no port is so high
        fine = False
    if not fine or parts.path not in ("", "/") or parts.query or parts.fragment or "@" in url:
        raise ValueError("write it as http://host:port")
    return url


class Places:
    """The addresses behind a name, which may be those of several hosts. It belongs to one event loop."""

    def __init__(self, host: str, port: int | None) -> None:
        self._host, self._port = host, port or PORT
        self._known: list[str] = []
        self._asked = float("-inf")
        self._late: dict[str, float] = {}
        self._asking: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """Of all of them."""
        return self._port

    async def in_turn(self) -> list[str]:
        """The addresses, in another order each time so that calls spread; those that were late of late are last.

        OSError where the name is not known. While a resolver is away, what it said last stands.
        """
        now = asyncio.get_running_loop().time()
        if self._asking is None and now - self._asked > FRESH_SECONDS:
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(lambda task: task.cancelled() or task.exception())  # none may wait for it
        if not self._known and self._asking:
            await asyncio.shield(self._asking)
        found = random.sample(self._known, len(self._known))
        return sorted(found, key=lambda each: self._late.get(each, 0.0) > now)

    def was_late(self, address: str) -> None:
        """Nobody answered there in time."""
        self._late[address] = asyncio.get_running_loop().time() + REST_SECONDS

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            self._known = list(dict.fromkeys(str(each[4][0]) for each in found))
        except OSError:
            if not self._known:
                raise
        finally:
            self._asking, self._asked = None, loop.time() if self._known else self._asked
        self._late = {each: until for each, until in self._late.items() if until > loop.time()}


def watch(connection: socket.socket) -> None:
    """Let the kernel give up a connection whose network is gone, and let go of what waits to be sent on it."""
    with suppress(OSError, AttributeError):  # Linux alone knows it; without it more lies about for longer
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_MS)
