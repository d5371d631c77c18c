"""A client's side of an HTTP/2 connection, in frames: what is said to a `Connection`, and what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from hpack import Decoder, Encoder

from service.edge.sweep import Sweep
from service.edge.turns import Turns
from service.grpc import frames, limits
from service.grpc.connection import Connection, Open
from service.grpc.heads import Head, Headers
from service.grpc.stream import Stream

PATH = b"/tandem.v1.Recommender/Recommend"
ASKED = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", PATH),
    (b":authority", b"here"),
    (b"content-type", b"application/grpc"),
    (b"te", b"trailers"),
]
HELLO = frames.PREFACE + frames.settings([])


class Frame(NamedTuple):
    """One that was said."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def head(stream: int, end: bool = False, headers: Headers = ASKED) -> bytes:
    """A call begins."""
    flags = frames.END_HEADERS | (frames.END_STREAM if end else 0)
    return frames.frame(frames.HEADERS, flags, stream, Encoder().encode([*headers], huffman=True))


def body(stream: int, data: bytes, end: bool = True) -> bytes:
    """A message, in frames as large as may be."""
    told = b"\0" + len(data).to_bytes(4, "big") + data
    parts = [told[at : at + frames.LARGEST_FRAME] for at in range(0, len(told), frames.LARGEST_FRAME)]
    flags = [0] * (len(parts) - 1) + [frames.END_STREAM if end else 0]
    return b"".join(frames.frame(frames.DATA, flag, stream, part) for flag, part in zip(flags, parts, strict=True))


def parsed(said: bytes) -> Iterator[Frame]:
    """The frames in these bytes."""
    while said:
        high, low, kind, flags, stream = frames.HEAD.unpack_from(said)
        end = frames.HEAD.size + (high << 8 | low)
        yield Frame(kind, flags, stream, said[frames.HEAD.size : end])
        said = said[end:]


CALL, TOLD = head(1) + body(1, b"you"), b"\0\0\0\0\3you"
"""A call, and the message in it."""

MUCH = b"\0" * frames.LARGEST_FRAME


SCRATCH = bytearray(limits.READ)


class Echo:
    """Answers a body with itself, when it is whole, or when it is told to."""

    streaming = False

    def __init__(self, stream: Stream, at_once: bool, size: int) -> None:
        """at_once: whether it answers when it can. size: of its body, where that is known; else 0."""
        self.stream, self.at_once, self.size = stream, at_once, size
        self.got, self.whole, self.gone, self.refused = b"", False, False, ""

    def take(self, data: bytes, ended: bool) -> None:
        """A part."""
        self.got += data
        self.whole = ended
        if not ended:
            self.stream.hold(len(self.got), self.size)
            self.stream.let_come(self.size - len(self.got))
            return
        self.stream.hold(0)
        if self.at_once:
            self.answer()

    def answer(self) -> None:
        """The same back."""
        self.stream.send(frames.block([(b":status", b"200")]), self.got, frames.block([(b"grpc-status", b"0")]))

    def refuse(self, why: Any) -> None:
        """For this reason."""
        self.refused = why.reason
        self.stream.send(trailers=frames.block([(b":status", b"200"), (b"grpc-status", b"8")]))

    def leave(self) -> None:
        """It ends by itself."""

    def cancel(self) -> None:
        """Its client is gone."""
        self.gone = True


class Wire:
    """A transport that keeps what is written, and the connection on it; on a loop that runs."""

    def __init__(self, at_once: bool = True, size: int = 0, opens: Open | None = None) -> None:
        """opens: what calls are made by, in place of `Echo`."""
        self.said, self.closed, self.eof, self.held_back = b"", False, False, 0
        self.calls: list[Echo] = []
        self.all: set[Any] = set()
        self.at_once, self.size = at_once, size
        loop = asyncio.get_running_loop()
        turns = Turns(loop, limits.CONNECTIONS_A_TURN)
        self.connection = Connection(self.all, Sweep(self.all, loop), turns, turns, SCRATCH, opens or self._open)
        self.connection.connection_made(self)  # type: ignore[arg-type]  # what it is asked for
        self._decoder = Decoder()

    def _open(self, stream: Stream, _: Head) -> None:
        stream.asked = Echo(stream, self.at_once, self.size)
        self.calls.append(stream.asked)

    # A transport's.
    def write(self, data: bytes) -> None:
        """To the client."""
        assert not self.closed
        assert not self.eof
        self.said += data

    def get_extra_info(self, _: str) -> None:
        """None."""

    def get_write_buffer_size(self) -> int:
        """What its client has not read."""
        return self.held_back

    def is_closing(self) -> bool:
        """Whether it is."""
        return self.closed

    def pause_reading(self) -> None:
        """What is told comes all the same."""

    resume_reading = pause_reading

    def close(self) -> None:
        """The end."""
        self.closed = True

    abort = close

    def can_write_eof(self) -> bool:
        """As TCP can."""
        return True

    def write_eof(self) -> None:
        """Half of the end."""
        self.eof = True

    # A client's.
    def tell(self, data: bytes) -> Wire:
        """Say it."""
        self.connection.take(data)
        while self.connection._paused and not (self.closed or self.eof):
            self.connection._go_on()
        return self

    @property
    def heard(self) -> list[Frame]:
        """What was said since it was asked last, without the server's settings and its word on ours."""
        said, self.said = self.said, b""
        return [each for each in parsed(said) if each.kind != frames.SETTINGS]

    def headers(self, frame: Frame) -> dict[bytes, bytes]:
        """Of a HEADERS."""
        return dict(self._decoder.decode(frame.payload, raw=True))


def scene(play: Callable[[Wire], None], at_once: bool = True, size: int = 0) -> None:
    """Play on a wire, whose calls are as `Echo` has it."""

    async def run() -> None:
        play(Wire(at_once, size))

    asyncio.run(run())
