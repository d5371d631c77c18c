"""The heads of gRPC calls: read from header blocks (HPACK is the library's), and each that comes again is read once.

A client sends the same block again and again, a byte for each header, and Python takes 39 us to read nine.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hpack import Decoder, HPACKError, OversizedHeaderListError
from hpack.table import HeaderTable

from recsys.errors import QueryError
from service import deadline
from service.grpc import limits
from service.grpc.frames import Broken, Code

Headers = Sequence[tuple[bytes, bytes]]
"""Names, in small letters, and values."""

_NAME = re.compile(rb":?[a-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(rb"[^\0\r\n]*")
_PSEUDO = frozenset((b":method", b":scheme", b":path", b":authority"))
_OF_HTTP_1 = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"))
"""They speak of a connection, and a proxy that made HTTP/1 of them would split one request in two."""

_DEADLINE = deadline.HEADER.encode()
_KIND = re.compile(rb"application/grpc([+;]|$)")
_TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])")
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


class Head:
    """What a call's head says; nobody changes it, for it may be of many calls."""

    __slots__ = ("asks_grpc", "deadlines", "headers", "malformed", "path", "size", "timeout")

    def __init__(self, headers: Headers) -> None:
        told = dict(headers)
        self.headers = headers
        self.path = told.get(b":path", b"").decode("latin-1")
        kind = _KIND.match(told.get(b"content-type", b""))
        self.asks_grpc = kind is not None and told.get(b":method") == b"POST"
        self.size = sum(len(name) + len(value) + limits.EACH_HEADER for name, value in headers)
        self.timeout = told.get(b"grpc-timeout")
        """What it says of how long its client waits (gRPC's own word); None where that is for ever."""
        self.deadlines = [value.decode("latin-1") for name, value in headers if name == _DEADLINE]
        """What it says of that as HTTP's requests do."""
        self.malformed = _is_malformed(headers)
        """Whether no request may bear these headers."""


def seconds_of(timeout: bytes) -> float:
    """A timeout as gRPC's clients tell it; QueryError where that is no time."""
    found = _TIMEOUT.fullmatch(timeout)
    if found is None:
        raise QueryError("Send a number of at most eight digits and one of H, M, S, m, u, n.", "grpc-timeout")
    return int(found[1]) * _UNITS[found[2]]


def _is_malformed(headers: Headers) -> bool:
    """RFC 9113, 8.2 and 8.3: names in small letters, no line breaks, nothing of HTTP/1, what begins with : first."""
    plain_began = False
    pseudo: set[bytes] = set()
    for name, value in headers:
        if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)) or name in _OF_HTTP_1:
            return True
        if name[:1] == b":":
            if plain_began or name in pseudo or name not in _PSEUDO:
                return True
            pseudo.add(name)
        else:
            plain_began = True
            if name == b"te" and value.lower() != b"trailers":
                return True
    return False


class _Table(HeaderTable):
    """Knows whether it is as it was."""

    changes = 0

    def add(self, name: bytes, value: bytes) -> None:
        """As the library has it."""
        self.changes += 1
        super().add(name, value)

    @property
    def state(self) -> tuple[int, int, int]:
        """The same as long as the same bytes say the same: what is let go of for a lesser size counts, too."""
        return self.changes, self.maxsize, len(self.dynamic_entries)


class Heads:
    """Of one connection."""

    def __init__(self) -> None:
        self._decoder = Decoder(max_header_list_size=limits.WORST_HEADERS)
        self._decoder.header_table = self._table = _Table()
        self.known: dict[bytes, Head] = {}
        """Heads by the blocks that say them, as long as they say that; none that is malformed."""

    def read(self, block: bytes) -> Head:
        """The head in a block; Broken where none is: none after it could be read."""
        known = self.known.get(block)
        if known is not None:
            return known
        before = self._table.state
        head = Head(self._decoded(block))
        if self._table.state != before or len(self.known) >= limits.KNOWN_HEADS:
            self.known.clear()  # what is known was said of another table
        elif not head.malformed and len(block) <= limits.KNOWN_BLOCK and len(head.headers) <= limits.KNOWN_BLOCK:
            self.known[block] = head
        return head

    def _decoded(self, block: bytes) -> Headers:
        if _table_changes(block) > limits.TABLE_CHANGES:  # each takes two microseconds of a byte, and the library all
            raise Broken(Code.ENHANCE_YOUR_CALM, "a header table that changes again and again")
        try:
            return list(self._decoder.decode(block, raw=True))
        except OversizedHeaderListError as error:
            raise Broken(Code.ENHANCE_YOUR_CALM, f"metadata larger than {limits.WORST_HEADERS:,} bytes") from error
        except HPACKError as error:
            raise Broken(Code.COMPRESSION_ERROR, "no header block") from error


def _table_changes(block: bytes) -> int:
    """How often a block changes the size of the table, which it may at its start alone (RFC 7541, 6.3)."""
    at = count = 0
    while at < len(block) and block[at] & 0xE0 == 0x20:
        count += 1
        if block[at] & 0x1F == 0x1F:  # the number goes on in bytes with their highest bit, and one without
            at += 1
            while at < len(block) and block[at] & 0x80:
                at += 1
        at += 1
    return count
