"""The fast path of a callee: a call that came whole, and alone, is answered where it was read.

What uvicorn makes of a request, ASGI's messages and the turns of BentoML's dispatcher cost a lone call .4 to .5 ms of
CPU (docs/decisions.md), and have nothing to do for it. Anything else goes on to uvicorn and `service.lane` as it came:
calls in pieces, calls that others came beside, which BentoML merges, calls that are traced, and whatever is no call of
`service.hop`'s.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from service.edge.fast_path import Connection

logger = logging.getLogger("tandem")

PREFIX = "/rows/"
"""Of the paths of calls; the rest is the API's name."""

WIDTH = b"x-row-bytes"
"""The header that says how wide a row is."""

LEARNING = 12
"""Calls of an API that go by BentoML's dispatcher before any is answered here: it learns of the first eleven."""

HEADS = 256
"""That are kept as they were read or written: calls differ in their number of rows alone."""

_MOST_HEAD = 150
"""Bytes of the longest head that is one of these."""

_HEAD = re.compile(
    rb"POST /rows/(\w{1,64}) HTTP/1\.1\r\nhost: hop\r\nx-row-bytes: (\d{1,9})\r\ncontent-length: (\d{1,9})\r\n\r\n"
)

Answer = Callable[[np.ndarray], np.ndarray]
"""Rows [B, W] uint8 to rows, at once."""


class _Call(NamedTuple):
    connection: Connection
    data: bytes
    name: str
    begin: int
    width: int


class FastCalls:
    """Of one process of retrieval or ranking."""

    def __init__(self, apis: Mapping[str, Answer], widths: Mapping[str, int] = MappingProxyType({})) -> None:
        """widths: bytes of a row of each API, by name; any where none is named."""
        self._apis = apis
        self._widths = widths
        self._learning = Counter(dict.fromkeys(apis, LEARNING))
        self._waiting: list[_Call] = []

    def take(self, connection: Connection, data: bytes) -> bool:
        """Whether what was read is a whole call, which is answered once all that came with it was read, too."""
        begin = data.find(b"\r\n\r\n", 0, _MOST_HEAD) + 4
        told = _told(data[:begin])
        if told is None:
            return False
        name, width, size = told
        if len(data) != begin + size or name not in self._apis or width != self._widths.get(name, width):
            return False
        if self._learning[name] > 0:
            self._learning[name] -= 1
            return False
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self.answer)
        self._waiting.append(_Call(connection, data, name, begin, width))
        return True

    def hurry(self) -> bool:
        """Answer what waits now."""
        self.answer()
        return True

    def learn(self, head: bytes, scope: Mapping[str, Any], size: int) -> None:
        """Heads of calls are known."""

    def answer(self) -> None:
        """Answer the call that waits; where there are several, let them be merged."""
        waiting, self._waiting = self._waiting, []
        if len(waiting) == 1 and not waiting[0].connection.last:
            call = waiting[0]
            try:
                # As the lane has them: aligned, and the callee's to write to.
                rows = np.frombuffer(bytearray(memoryview(call.data)[call.begin :]), np.uint8)
                found = self._apis[call.name](rows.reshape(-1, call.width))
                answer = answer_head(found) + found.tobytes()
            except Exception as error:
                logger.warning("A call of %s broke, and is tried once more: %s", call.name, error or type(error))
            else:
                call.connection.say(answer)
                return
        for call in waiting:
            call.connection.parse(call.data)


@lru_cache(HEADS)
def _told(head: bytes) -> tuple[str, int, int] | None:
    """An API's name, and how many bytes a row and all rows of a call are; None where the head is another's."""
    found = _HEAD.fullmatch(head)
    if found is None:
        return None
    name, width, size = found[1].decode(), int(found[2]), int(found[3])
    return None if not (size and width) or size % width else (name, width, size)


def call_head(name: str, rows: np.ndarray, more: str = "") -> bytes:
    """The head of a call; more: headers."""
    head = _call_head(name, *rows.shape)
    return b"%b%b\r\n" % (head[:-2], more.encode()) if more else head


@lru_cache(HEADS)
def _call_head(name: str, count: int, width: int) -> bytes:
    told = f"host: hop\r\n{WIDTH.decode()}: {width}\r\ncontent-length: {count * width}\r\n\r\n"
    return f"POST {PREFIX}{name} HTTP/1.1\r\n{told}".encode()


def answer_head(rows: np.ndarray) -> bytes:
    """The head of an answer."""
    return _answer_head(*rows.shape)


@lru_cache(HEADS)
def _answer_head(count: int, width: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n%b: %d\r\n\r\n" % (count * width, WIDTH, width)
