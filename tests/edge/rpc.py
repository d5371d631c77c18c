"""What strangers do to the gRPC door, as `attacks` has it: `python -m tests.edge.rpc NAME PORT COUNT SECONDS`."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc

from tests.edge.attacks import PATIENCE, Attack, Told, _many, _trickle, act

METHOD = "/tandem.v1.Recommender/Recommend"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def _frame(kind: int, flags: int, stream: int, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data))[1:] + struct.pack(">BBI", kind, flags, stream) + data


SETTINGS, PING = _frame(4, 0, 0), _frame(6, 0, 0, bytes(8))
DATA, HEADERS, RESET, CONTINUATION = 0, 1, 3, 9
BLOCK = (
    b"\x83\x86"
    + b"\x44"
    + bytes([len(METHOD)])
    + METHOD.encode()
    + b"\x41\x01x\x5f\x10application/grpc\x00\x02te\x08trailers"
)
BEGUN = PREFACE + SETTINGS + _frame(HEADERS, 0, 1, BLOCK)


def _let_go() -> bytes:
    """Three thousand calls, each begun and let go."""
    both = (_frame(HEADERS, 4, each, BLOCK) + _frame(RESET, 0, each, bytes(4)) for each in range(1, 6000, 2))
    return PREFACE + SETTINGS + b"".join(both)


async def _calls(port: int, count: int, call: Callable[[grpc.aio.Channel], Awaitable[object]]) -> Told:
    """So many calls, a channel for each hundred; each has to fail, and says how."""
    told = Told(count)
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)]
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) for _ in range(-(-count // 100))]

    async def one(channel: grpc.aio.Channel) -> None:
        start = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                await call(channel)
            told.wrong.append("a call that is none was answered")
        except grpc.aio.AioRpcError as error:
            told.closed += 1
            told.slowest = max(told.slowest, time.monotonic() - start)
            told.said[error.code().name] = told.said.get(error.code().name, 0) + 1
        except TimeoutError:
            pass

    await asyncio.gather(*(one(channels[number // 100]) for number in range(count)))
    for channel in channels:
        await channel.close()
    return told


async def slow_streams(port: int, count: int) -> Told:
    """A call begins, and its message never comes."""

    async def never() -> AsyncIterator[bytes]:
        await asyncio.sleep(2 * PATIENCE)
        yield b""

    return await _calls(port, count, lambda channel: channel.stream_unary(METHOD)(never()))


async def bombs(port: int, count: int) -> Told:
    """Messages of 16 MB of nothing, packed into 16 kB."""
    nothing = bytes(16 << 20)

    async def call(channel: grpc.aio.Channel) -> object:
        return await channel.unary_unary(METHOD)(nothing, compression=grpc.Compression.Gzip)

    told = Told(0)
    for _ in range(count):  # one after the other: the attacker has to pack them
        told.add(await _calls(port, 1, call))
    return told


async def metadata(port: int, count: int) -> Told:
    """A call with a hundred kilobytes of metadata; a client library would not send it to who said what it takes."""
    more = b"".join(b"\x00\x03x-%c\x64" % letter + b"b" * 100 for letter in b"abcdef" * 180)
    return await _refused(port, count, PREFACE + SETTINGS + _frame(HEADERS, 5, 1, BLOCK + more), b"more than")


async def half(port: int, count: int) -> Told:
    """Messages of four megabytes, of which what the window takes comes, and no more."""
    part = _frame(DATA, 0, 1, b"\0" + (4_000_000).to_bytes(4, "big") + bytes(16_000)) + 2 * _frame(
        DATA, 0, 1, bytes(16_000)
    )
    return await _refused(port, count, PREFACE + SETTINGS + _frame(HEADERS, 4, 1, BLOCK) + part, b"grpc-status")


async def _refused(port: int, count: int, asked: bytes, word: bytes) -> Told:
    """So many connections that ask this, until they read the word, or are closed."""
    told = Told(count)

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        start, said = time.monotonic(), b""
        writer.write(asked)
        try:
            async with asyncio.timeout(PATIENCE):
                while word not in said and (part := await reader.read(1 << 16)):
                    said += part
            told.closed, told.slowest = told.closed + 1, max(told.slowest, time.monotonic() - start)
            answer = "refused" if word in said else "closed"
            told.said[answer] = told.said.get(answer, 0) + 1
        except (TimeoutError, OSError):
            pass
        writer.transport.abort()

    await asyncio.gather(*(one() for _ in range(count)))
    return told


ATTACKS: dict[str, Attack] = {
    "gRPC: nothing said": lambda port, count: _many(port, count, _trickle(b"", b"")),
    "gRPC: half a preface": lambda port, count: _many(port, count, _trickle(PREFACE[:9], b"")),
    "gRPC: no settings": lambda port, count: _many(port, count, _trickle(PREFACE, b"")),
    "gRPC: pings": lambda port, count: _many(port, count, _trickle(PREFACE + SETTINGS, PING * 10, 0.01)),
    "gRPC: slow heads": lambda port, count: _many(
        port, count, _trickle(BEGUN, _frame(CONTINUATION, 0, 1, b"\x00\x01x\x01y"))
    ),
    "gRPC: endless heads": lambda port, count: _many(
        port, count, _trickle(BEGUN, 50 * _frame(CONTINUATION, 0, 1, b"\x00\x01x\x01y"), 0.01)
    ),
    "gRPC: calls begun and let go": lambda port, count: _many(port, count, _trickle(_let_go(), b"")),
    "gRPC: half of a large message": half,
    "gRPC: much metadata": metadata,
    "gRPC: slow streams": slow_streams,
    "gRPC: packed bombs": bombs,
}


if __name__ == "__main__":
    act(ATTACKS)
