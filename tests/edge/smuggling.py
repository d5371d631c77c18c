"""HTTP request smuggling: ambiguous requests, each with a second one hidden inside that must reach no server.

A proxy and the server behind it may split such bytes into different requests.
"""

from __future__ import annotations

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"
"""The hidden request. The proxy refuses its path without naming it; a gateway that receives it names it."""

_POST = b"POST /recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
_CHUNKED = _POST + b"transfer-encoding: chunked\r\n"


def _length(value: bytes) -> bytes:
    return b"content-length: " + value + b"\r\n"


PROBES: dict[str, bytes] = {
    "TE and CL": _CHUNKED + _length(b"4") + b"\r\n0\r\n\r\n" + SMUGGLED,
    "CL and TE": _POST + _length(b"6") + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two lengths": _POST + _length(b"2") + _length(b"60") + b"\r\n{}" + SMUGGLED,
    "two equal lengths": _POST + _length(b"2") + _length(b"2") + b"\r\n{}" + SMUGGLED,
    "a list of lengths": _POST + _length(b"2, 60") + b"\r\n{}" + SMUGGLED,
    "a length with a sign": _POST + _length(b"+2") + b"\r\n{}" + SMUGGLED,
    "a negative length": _POST + _length(b"-2") + b"\r\n{}" + SMUGGLED,
    "a length in hex": _POST + _length(b"0x2") + b"\r\n{}" + SMUGGLED,
    "a length beyond 64 bits": _POST + _length(b"99999999999999999999999") + b"\r\n{}" + SMUGGLED,
    "a folded header": _POST + b"x-a: b\r\n transfer-encoding: chunked\r\n" + _length(b"2") + b"\r\n{}" + SMUGGLED,
    "a space before the colon": _POST
    + b"transfer-encoding : chunked\r\n"
    + _length(b"5")
    + b"\r\n0\r\n\r\n"
    + SMUGGLED,
    "xchunked": _POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunked, identity": _POST + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunked twice": _POST + b"transfer-encoding: chunked\r\ntransfer-encoding: cow\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "a tab in chunked": _POST + b"transfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "a bare LF in the head": _POST.replace(b"\r\n", b"\n") + b"content-length: 2\n\n{}" + SMUGGLED,
    "a bare CR in the head": _POST + b"x-a: b\rtransfer-encoding: chunked\r\n\r\n" + SMUGGLED,
    "a NUL in a header": _POST + b"x-a: \x00b\r\n" + _length(b"2") + b"\r\n{}" + SMUGGLED,
    "a chunk's size in a lie": _CHUNKED + b"\r\n2;x\r\n{}zz\r\n0\r\n\r\n" + SMUGGLED,
    "a chunk's size with a sign": _CHUNKED + b"\r\n+2\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "a chunk's size beyond 64 bits": _CHUNKED + b"\r\nfffffffffffffffff2\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "a bare LF in a chunk": _CHUNKED + b"\r\n2\n{}\n0\n\n" + SMUGGLED,
    "an endless chunk extension": _CHUNKED + b"\r\n2;" + b"x" * (9 << 20),
    "endless trailers": _CHUNKED + b"\r\n2\r\n{}\r\n0\r\n" + b"x-a: b\r\n" * (1 << 20),
    "chunks of one byte": _CHUNKED + b"\r\n" + b"1\r\n \r\n" * (1 << 20),
    "two hosts": b"GET /smuggled HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
    "no host": b"GET /smuggled HTTP/1.1\r\n\r\n",
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "garbage behind a request": b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n\x00\x01\x02 smug /x\r\n\r\n" + SMUGGLED,
    "a hundred requests ahead": b"GET /status HTTP/1.1\r\nhost: x\r\n\r\n" * 100 + SMUGGLED,
    "a head without an end": b"GET /smuggled HTTP/1.1\r\nhost: x\r\nx-a: " + b"b" * (1 << 20),
    "a path without an end": b"GET /smuggled" + b"b" * (1 << 20),
    "ten thousand headers": b"GET /smuggled HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 10_000 + b"\r\n",
    "HTTP/2 without asking": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "an upgrade with a body": _POST
    + b"connection: upgrade\r\nupgrade: other\r\n"
    + _length(b"%d" % (40_000 + len(SMUGGLED)))
    + b"\r\n"
    + b"\r\n" * 20_000
    + SMUGGLED,
    "a tunnel": b"CONNECT smuggled:80 HTTP/1.1\r\nhost: smuggled\r\n\r\n" + SMUGGLED,
}
