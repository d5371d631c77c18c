"""The fast path of the HTTP door: a request for a slate whose head was judged before is answered where it was read.

What uvicorn makes of a request, ASGI's messages and an answer's cost a lone one .2 ms of CPU. A client says the same
head again and again, but for the length of a body: uvicorn's parser and all limits judge it once, byte for byte, and
whatever is not exactly that goes their way, as does what comes in pieces.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, NamedTuple

from starlette.datastructures import Headers

from recsys.errors import QueryError
from service import deadline
from service.edge.fast_path import Connection
from service.front import FULL, FULL_HEADERS, refused
from service.http import bodies
from service.http.app import Door

PATH = "/recommend"

MOST_HEAD, MOST_HEADS = 2 << 10, 256
"""Bytes of a head that is remembered, and how many are."""

_LAST = b"connection: close\r\n"


class _Known(NamedTuple):
    size: int
    deadline: list[str]


class FastRequests:
    """Of one gateway process that needs no keys and traces nothing."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._known: dict[bytes, _Known] = {}

    def learn(self, head: bytes, scope: Mapping[str, Any], size: int) -> None:
        """Remember a head that uvicorn took, where the door would take it, too."""
        if len(head) > MOST_HEAD or scope["path"] != PATH or scope["method"] != "POST":
            return
        headers = Headers(raw=scope["headers"])
        try:
            bodies.require_json(headers)
        except QueryError:
            return
        if len(self._known) >= MOST_HEADS:
            self._known.clear()
        self._known[head] = _Known(size, headers.getlist(deadline.HEADER))

    def take(self, connection: Connection, data: bytes) -> bool:
        """Whether it is a whole request whose head is known; then it is answered."""
        end = data.find(b"\r\n\r\n", 0, MOST_HEAD) + 4
        known = self._known.get(data[:end])
        if known is None or len(data) != end + known.size:
            return False
        if refused(self._door, PATH):
            _say(connection, 429, FULL_HEADERS, FULL)
            return True
        task = connection.loop.create_task(self._answer(connection, data[end:], known.deadline))
        connection.tasks.add(task)
        task.add_done_callback(connection.tasks.discard)
        return True

    def hurry(self) -> bool:
        """It takes as long as it takes."""
        return False

    async def _answer(self, connection: Connection, body: bytes, asked: list[str]) -> None:
        try:
            told = await self._door.recommend(body, asked)
            if isinstance(told, bytes):
                length = str(len(told)).encode()
                _say(connection, 200, [(b"content-length", length), (b"content-type", b"application/json")], told)
            else:
                _say(connection, told.status_code, told.raw_headers, bytes(told.body))
        except BaseException:  # cancelled by a server that waits no longer, say
            connection.cut()
            raise


def _say(connection: Connection, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    own = b"".join([b"%b: %b\r\n" % header for header in headers])
    last = _LAST if connection.last else b""
    connection.say(b"".join([_line(status), connection.every_header, own, last, b"\r\n", body]))


@cache
def _line(status: int) -> bytes:
    return b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode())
