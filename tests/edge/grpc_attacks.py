"""Attacks on the gRPC server, such as resets, endless headers and compressed bombs, through the proxy."""

from __future__ import annotations

import asyncio
import gzip
import struct
import time
from collections.abc import Iterator

from tests.edge.attack import HELD_SECONDS, Attack, Tally, Write, connect, hold, once, trickle

METHOD, HEALTH = b"/tandem.v1.Recommender/Recommend", b"/grpc.health.v1.Health/Check"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, GOAWAY, CONTINUATION = 0, 1, 3, 4, 7, 9
END_STREAM, END_HEADERS = 1, 4

RESETS = 1000
"""Calls that a connection begins and resets."""


def frame(kind: int, flags: int, stream: int, data: bytes = b"") -> bytes:
    """An HTTP/2 frame."""
    return struct.pack(">I", len(data))[1:] + struct.pack(">BBI", kind, flags, stream) + data


def frames(received: bytes) -> Iterator[tuple[int, int, int]]:
    """Kind, flags and stream of each frame that is complete."""
    while len(received) >= 9:
        length, kind, flags, stream = int.from_bytes(received[:3], "big"), *struct.unpack(">BBI", received[3:9])
        yield kind, flags, stream
        received = received[9 + length :]


def block(method: bytes) -> bytes:
    """A header block of a gRPC call, without compression."""
    headers = b"\x41\x01x\x5f\x10application/grpc\x00\x02te\x08trailers"
    return b"\x83\x86\x44" + bytes([len(method)]) + method + headers


HELLO = PREFACE + frame(SETTINGS, 0, 0)
BEGUN = HELLO + frame(HEADERS, END_HEADERS, 1, block(METHOD))
LARGE_MESSAGE = b"\0" + (4_000_000).to_bytes(4, "big")


def refusal(received: bytes) -> str:
    """The refusal of the first call: the end of the connection or of the stream."""
    for kind, flags, stream in frames(received):
        if kind == GOAWAY:
            return "goaway"
        if stream and (kind == RESET or (kind == HEADERS and flags & END_STREAM)):
            return "reset" if kind == RESET else "status"
    return ""


def _holding(write: Write) -> Attack:
    return lambda port, count: hold(port, count, write, refusal)


async def resets(port: int, count: int) -> Tally:
    """Reset RESETS complete calls on each connection, with a health check among each ten."""
    tally = Tally(count)

    async def one() -> None:
        reader, writer = await connect(port)
        start, answered = time.monotonic(), bytearray()
        reading = asyncio.create_task(_read(reader, answered))
        checks = 0
        try:
            async with asyncio.timeout(HELD_SECONDS):
                writer.write(HELLO)
                for number in range(RESETS):
                    writer.write(_reset_call(4 * number + 1))
                    if number % 10 == 0:
                        writer.write(_health_check(4 * number + 3))
                        checks += 1
                    await writer.drain()
                await asyncio.wait({reading}, timeout=1.0)
            tally.stop(time.monotonic() - start, "goaway" if reading.done() else "all taken")
        except TimeoutError:
            pass
        except OSError:
            tally.stop(time.monotonic() - start, "closed")
        reading.cancel()
        writer.transport.abort()

    await asyncio.gather(*(one() for _ in range(count)))
    return tally


async def _read(reader: asyncio.StreamReader, answered: bytearray) -> None:
    while part := await reader.read(1 << 16):
        answered += part
        if refusal(bytes(part)) == "goaway":
            return


def _reset_call(stream: int) -> bytes:
    head = frame(HEADERS, END_HEADERS, stream, block(METHOD))
    return head + frame(DATA, END_STREAM, stream, bytes(5)) + frame(RESET, 0, stream, bytes(3) + b"\x08")


def _health_check(stream: int) -> bytes:
    return frame(HEADERS, END_HEADERS, stream, block(HEALTH)) + frame(DATA, END_STREAM, stream, bytes(5))


def _bomb() -> bytes:
    """A compressed message of 16 MB of zeros in 16 kB."""
    packed = gzip.compress(bytes(16 << 20))
    head = block(METHOD) + b"\x00\x0dgrpc-encoding\x04gzip"
    message = b"\1" + len(packed).to_bytes(4, "big") + packed
    parts = [message[at : at + 16_000] for at in range(0, len(message), 16_000)]
    data = b"".join(frame(DATA, 0, 1, part) for part in parts)
    return HELLO + frame(HEADERS, END_HEADERS, 1, head) + data + frame(DATA, END_STREAM, 1)


def _half() -> bytes:
    """The part of a message of 4 MB that fits the first window."""
    return frame(DATA, 0, 1, LARGE_MESSAGE + bytes(16_000)) + 3 * frame(DATA, 0, 1, bytes(16_000))


_LONG = b"".join(b"\x00\x03x-%c\x64" % letter + b"b" * 100 for letter in b"abcdef" * 25)

ATTACKS: dict[str, Attack] = {
    "gRPC: nothing sent": _holding(trickle(b"", b"")),
    "gRPC: half a preface": _holding(trickle(PREFACE[:9], b"")),
    "gRPC: slow heads": _holding(
        trickle(HELLO + frame(HEADERS, 0, 1, block(METHOD)), frame(CONTINUATION, 0, 1, b"\x00\x01x\x01y"))
    ),
    "gRPC: endless heads": _holding(
        trickle(HELLO + frame(HEADERS, 0, 1, block(METHOD)), 50 * frame(CONTINUATION, 0, 1, b"\x00\x01x\x01y"), 0.01)
    ),
    "gRPC: no message": _holding(once(BEGUN)),
    "gRPC: dripping messages": _holding(
        trickle(BEGUN + frame(DATA, 0, 1, b"\0" + (9999).to_bytes(4, "big")), frame(DATA, 0, 1, b"\0"))
    ),
    "gRPC: half of a large message": _holding(once(BEGUN + _half())),
    "gRPC: dripping large messages": _holding(trickle(BEGUN + _half(), frame(DATA, 0, 1, b"\0"))),
    "gRPC: large metadata": _holding(once(HELLO + frame(HEADERS, END_HEADERS, 1, block(METHOD) + _LONG))),
    "gRPC: packed bombs": lambda port, count: hold(port, count, once(_bomb()), refusal),
    "gRPC: resets": resets,
}
