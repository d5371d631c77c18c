"""HTTP/2's frames (RFC 9113) as a server sends and reads them; header blocks (HPACK, RFC 7541) are the library's."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from struct import Struct

from hpack import Encoder, NeverIndexedHeaderTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client says first."""

HEAD = Struct(">HBBBI")
"""Of a frame: the length in two parts, the kind, the flags, the stream."""

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITISED = 0x20

TABLE_SIZE, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME, MAX_HEADERS = 1, 3, 4, 5, 6
"""Settings that this server sends or minds."""

TABLE = 4096
SHRUNK = b"\x20"
"""Bytes of a table of headers, where nobody says otherwise; what a block begins with when it has become less."""

LARGEST_EVER = (1 << 24) - 1
LARGEST_FRAME = 1 << 14
"""Bytes of a frame's payload, where nobody says that more is taken; this server does not."""

WINDOW = (1 << 16) - 1
"""Bytes of DATA that may be under way, of a stream and of a connection, where nobody says otherwise."""

LARGEST_WINDOW = (1 << 31) - 1
PING_SIZE = 8
LAST_STREAM = (1 << 31) - 1

_U32 = Struct(">I")
_SETTING = Struct(">HI")
_ENCODER = Encoder()


class Code(IntEnum):
    """Why a stream or a connection ends (RFC 9113, 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class Broken(Exception):
    """Ends a connection: its client does not keep to the protocol, or asks too much."""

    def __init__(self, code: Code, why: str) -> None:
        super().__init__(why)
        self.code = code


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    size = len(payload)
    return HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def settings(told: Iterable[tuple[int, int]]) -> bytes:
    """What this server takes."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*each) for each in told))


def told_settings(payload: bytes) -> list[tuple[int, int]]:
    """What a client takes; Broken where that is none."""
    if len(payload) % _SETTING.size:
        raise Broken(Code.FRAME_SIZE_ERROR, "settings of a wrong size")
    return list(_SETTING.iter_unpack(payload))


def number(payload: bytes) -> int:
    """The one number that is in a RST_STREAM or a WINDOW_UPDATE; Broken where there is none."""
    if len(payload) != _U32.size:
        raise Broken(Code.FRAME_SIZE_ERROR, "a frame of a wrong size")
    return int(_U32.unpack(payload)[0]) & LARGEST_WINDOW


def reset(stream: int, code: Code) -> bytes:
    """The end of one stream."""
    return frame(RST_STREAM, 0, stream, _U32.pack(code))


def grant(stream: int, size: int) -> bytes:
    """So many bytes more may come; stream 0 for all of a connection together."""
    return frame(WINDOW_UPDATE, 0, stream, _U32.pack(size))


def goaway(last: int, code: Code = Code.NO_ERROR, why: str = "") -> bytes:
    """Nothing new; last: the last stream that is served."""
    return frame(GOAWAY, 0, 0, _U32.pack(last) + _U32.pack(code) + why.encode())


def block(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers that no client has to remember: the same bytes whatever was sent before."""
    return _ENCODER.encode([NeverIndexedHeaderTuple(*each) for each in headers], huffman=False)


def unpadded(flags: int, payload: bytes, more: int = 0) -> bytes:
    """What is between the padding and, where `more` is so many, the bytes before; Broken where that can't be."""
    start, end = more, len(payload)
    if flags & PADDED:
        if not payload:
            raise Broken(Code.FRAME_SIZE_ERROR, "a padded frame without a length")
        start, end = start + 1, end - payload[0]
    if start > end:
        raise Broken(Code.PROTOCOL_ERROR, "more padding than there is")
    return payload[start:end]
