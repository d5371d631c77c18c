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


SETTINGS, PING, HEADERS = _frame(4, 0, 0), _frame(6, 0, 0, bytes(8)), 1


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
    path, kind = METHOD.encode(), b"application/grpc"
    block = b"\x83\x86" + b"\x44" + bytes([len(path)]) + path + b"\x41\x01x" + b"\x5f" + bytes([len(kind)]) + kind
    block += b"\x00\x02te\x08trailers"
    block += b"".join(b"\x00\x03x-%c\x64" % letter + b"b" * 100 for letter in b"abcdef" * 180)
    asked = PREFACE + SETTINGS + _frame(HEADERS, 5, 1, block)
    told = Told(count)

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        start, said = time.monotonic(), b""
        writer.write(asked)
        try:
            async with asyncio.timeout(PATIENCE):
                while b"metadata size" not in said and (part := await reader.read(1 << 16)):
                    said += part
            told.closed, told.slowest = told.closed + 1, max(told.slowest, time.monotonic() - start)
            answer = "refused" if b"metadata size" in said else "closed"
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
    "gRPC: much metadata": metadata,
    "gRPC: slow streams": slow_streams,
    "gRPC: packed bombs": bombs,
}


if __name__ == "__main__":
    act(ATTACKS)
