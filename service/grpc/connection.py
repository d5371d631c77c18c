"""How an HTTP/2 connection is read (RFC 9113): frames, windows, and what a stranger may send.

Of an answer, 400 a second, Python's well-kept HTTP/2 (h2) takes 540 us, gRPC's own 570, frames as here 200 to 400 and
uvicorn's HTTP/1.1 160 to 220 (docs/decisions.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from service.edge import bounds, refusals
from service.edge.sweep import Sweep
from service.edge.turns import Turns
from service.grpc import frames, limits
from service.grpc.frames import HEAD, Broken, Code
from service.grpc.heads import Head, Heads
from service.grpc.sending import SendingConnection
from service.grpc.stream import Stream

Open = Callable[[Stream, Head], None]
"""Gives a stream its call, or answers at once."""

_BEGINS, _ENDS = bytes([frames.HEADERS, frames.END_HEADERS]), bytes([frames.DATA, frames.END_STREAM])
"""Kind and flags of the two frames that most calls are."""


class Connection(SendingConnection):
    """Of one client; `connections` are all of a process."""

    def __init__(
        self,
        connections: set[SendingConnection],
        sweep: Sweep,
        newcomers: Turns,
        turns: Turns,
        scratch: bytearray,
        open_call: Open,
    ) -> None:
        """newcomers, turns: of those that are new, and of those of which more is read. scratch: what is read into, as
        much at once as it has room for.
        """
        super().__init__(connections, sweep)
        self._scratch = memoryview(scratch)
        self._first_read = self._scratch[: bounds.FIRST_READ]
        self._newcomers, self._turns = newcomers, turns
        self._open = open_call
        self._buffer = b""
        self._came = self._greeted = self._paused = False
        self._turn = 0  # heads that were read since others had their turn
        self._frame: Callable[[int, int, int, bytes], None] = self._first
        self._block: tuple[int, int, bytearray] | None = None  # of a head that CONTINUATIONs end: stream, flags, bytes
        self._heads = Heads()

    def get_buffer(self, _: int) -> memoryview:
        """The loop's one, for as many bytes as may be read of it now."""
        return self._scratch if self._came else self._first_read

    def buffer_updated(self, size: int) -> None:
        """So many were."""
        self.take(bytes(self._scratch[:size]))

    def take(self, data: bytes) -> None:
        """Frames, or parts of them."""
        if self.lingers:
            if not self._sweep.may_throw_away(len(data)):
                self.transport.pause_reading()
            return
        if self._paused:  # uvloop reads once more
            self._buffer += data
            return
        if self.transport.is_closing():
            return
        if not self._came:
            self._came = True
            if not self._newcomers.admit(self._go_on):
                self._paused, self._buffer = True, data
                self.transport.pause_reading()
                return
        if self._buffer:
            data = self._buffer + data
        self._turn = 0
        try:
            if self.settled and self._block is None and self._is_call(data):
                self._buffer, self.half_since = b"", None
                return
        except Broken as error:
            self._buffer = b""
            self.end(error.code, str(error))
            return
        self.cork()
        try:
            read = self._read(data)
        except Broken as error:
            self._buffer = b""
            self.end(error.code, str(error))
            return
        finally:
            self.uncork()
        self._buffer = data[read:]
        if self._turn >= limits.HEADS_A_TURN:
            self._paused = True
            self.transport.pause_reading()
            if self._turns.admit(self._go_on):
                self._loop.call_soon(self._go_on)
        if not self._buffer and self._block is None:
            self.half_since = None
        elif self.half_since is None or (read and self._block is None):
            self.half_since = self.now()

    def _is_call(self, data: bytes) -> bool:
        """Whether it is one call, whole, whose head is known: then it is taken as frame by frame, in one go.

        But that one refused at its head needs no reset: its message is here. What it saves is in docs/decisions.md.
        """
        if data[3:5] != _BEGINS:
            return False
        body = HEAD.size + (data[1] << 8 | data[2])
        told = body + HEAD.size
        size = len(data) - told
        head = self._heads.known.get(data[HEAD.size : body])
        if head is None or data[0] or size < 0 or size > self.window_in or size > frames.LARGEST_FRAME:
            return False
        if data[body:told] != size.to_bytes(3, "big") + _ENDS + data[5:9]:
            return False
        number = int.from_bytes(data[5:9], "big")
        if not (number & 1 and self.last < number <= self.served) or len(self.streams) >= limits.STREAMS:
            return False
        self.last = number
        self.window_in -= size
        stream = self.streams[number] = Stream(self, number, self.stream_window_out, math.inf)
        stream.ended, stream.window_in = True, stream.window_in - size
        self._open(stream, head)
        if stream.asked is not None:
            stream.asked.take(data[told:], True)
        elif stream.futile:
            self._count_in_vain()
        self.let_send()
        return True

    def _go_on(self) -> None:
        """With what came behind so many heads."""
        self._paused = False
        if not (self.lingers or self.transport.is_closing()):
            self.transport.resume_reading()
            self.take(b"")

    def _read(self, data: bytes) -> int:
        """Take all whole frames; where the rest begins."""
        at, size = 0, len(data)
        if not self._greeted:
            if not frames.PREFACE.startswith(data[: len(frames.PREFACE)]):
                self._answer_http_1(data)
                return size
            if size < len(frames.PREFACE):
                return 0
            self._greeted, at = True, len(frames.PREFACE)
            self.write(limits.GREETING)
        while size - at >= HEAD.size and self._turn < limits.HEADS_A_TURN:
            high, low, kind, flags, stream = HEAD.unpack_from(data, at)
            length = high << 8 | low
            if length > frames.LARGEST_FRAME:
                raise Broken(Code.FRAME_SIZE_ERROR, "a frame of more than 16 KiB")
            start, end = at + HEAD.size, at + HEAD.size + length
            if end > size:
                break
            self._frame(kind, flags, stream & frames.LAST_STREAM, data[start:end])
            if self.lingers or self.transport.is_closing():
                return size
            at = end
        return at

    def _answer_http_1(self, data: bytes) -> None:
        if b" HTTP/1." in data:
            self.write(limits.NOT_HTTP_1)
        self.count(refusals.MALFORMED)
        self.leave()

    def _first(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind != frames.SETTINGS or flags & frames.ACK:
            raise Broken(Code.PROTOCOL_ERROR, "settings come first")
        self.settled, self._frame = True, self._any
        self._any(kind, flags, stream, payload)

    def _any(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if self._block is not None and kind != frames.CONTINUATION:
            raise Broken(Code.PROTOCOL_ERROR, "a head is not whole")
        if kind == frames.DATA:
            self._data(flags, stream, payload)
        elif kind == frames.HEADERS:
            more = 5 if flags & frames.PRIORITISED else 0
            self._head(stream, flags, frames.unpadded(flags, payload, more))
        elif kind == frames.CONTINUATION:
            self._continue(stream, flags, payload)
        else:
            self._count_control()
            self._control(kind, flags, stream, payload)

    def _count_control(self) -> None:
        self.controls += 1
        if self.controls > limits.CONTROLS:
            raise Broken(Code.ENHANCE_YOUR_CALM, "too many frames that ask for nothing")

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == frames.WINDOW_UPDATE:
            self._widen(stream, frames.number(payload))
        elif kind == frames.RST_STREAM:
            self._reset(stream, frames.number(payload))
        elif kind in {frames.SETTINGS, frames.PING, frames.GOAWAY} and stream:
            raise Broken(Code.PROTOCOL_ERROR, "of one stream, and not of the connection")
        elif kind == frames.SETTINGS:
            if not flags & frames.ACK:
                self._mind(frames.told_settings(payload))
            elif payload:
                raise Broken(Code.FRAME_SIZE_ERROR, "an acknowledgement with more in it")
        elif kind == frames.PING:
            if len(payload) != frames.PING_SIZE:
                raise Broken(Code.FRAME_SIZE_ERROR, "a ping of a wrong size")
            if not flags & frames.ACK:
                self.write(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif kind == frames.PUSH_PROMISE:
            raise Broken(Code.PROTOCOL_ERROR, "a client promises nothing")

    def _head(self, number: int, flags: int, block: bytes) -> None:
        if not flags & frames.END_HEADERS:
            self._block = (number, flags, bytearray(block))
            return
        self._turn += 1
        head = self._heads.read(block)
        ended, stream = bool(flags & frames.END_STREAM), self.streams.get(number)
        if stream is not None:  # what stands behind a body
            if stream.ended or not ended:
                raise Broken(Code.PROTOCOL_ERROR, "a second head")
            if head.malformed or head.path:
                self._refuse_malformed(number)
                stream.drop()
            else:
                stream.take(b"", True)
        elif ended and number & 1 and number <= self.last:  # it stands behind a body that was refused meanwhile
            self._count_control()
        elif not number & 1 or number <= self.last:
            raise Broken(Code.PROTOCOL_ERROR, "a stream that was, or that is a server's")
        else:
            self.last = number
            if head.malformed:
                self._refuse_malformed(number)
            else:
                self._begin(number, ended, head)

    def _refuse_malformed(self, number: int) -> None:
        """It ends its stream alone (RFC 9113, 8.1.1)."""
        self.write(frames.reset(number, Code.PROTOCOL_ERROR))
        self.count(refusals.MALFORMED)
        self.count_futile(limits.FUTILE_REFUSAL)

    def _begin(self, number: int, ended: bool, head: Head) -> None:
        if number > self.served:  # it was on its way when the GOAWAY was: its client asks elsewhere
            return
        if len(self.streams) >= limits.STREAMS:
            self.write(frames.reset(number, Code.REFUSED_STREAM))
            return
        stream = self.streams[number] = Stream(self, number, self.stream_window_out, self.now())
        self._open(stream, head)
        if stream.futile:
            self._count_in_vain()
        if ended and not stream.closed:
            stream.take(b"", True)

    def _count_in_vain(self) -> None:
        """A call asks for what its client may not have, or nobody has."""
        self.count_futile(limits.FUTILE_OF_STRANGER if self.stranger else limits.FUTILE_REFUSAL)

    def _continue(self, number: int, flags: int, payload: bytes) -> None:
        if self._block is None or self._block[0] != number:
            raise Broken(Code.PROTOCOL_ERROR, "a head that nobody began")
        self._count_control()
        _, began, block = self._block
        block += payload
        if len(block) > limits.WORST_BLOCK:
            raise Broken(Code.ENHANCE_YOUR_CALM, f"a header block larger than {limits.WORST_BLOCK:,} bytes")
        if flags & frames.END_HEADERS:
            self._block = None
            self._head(number, began | frames.END_HEADERS, bytes(block))

    def _data(self, flags: int, number: int, payload: bytes) -> None:
        if not number or number > self.last:
            raise Broken(Code.PROTOCOL_ERROR, "a body of nothing")
        size, stream = len(payload), self.streams.get(number)
        self.window_in -= size
        if self.window_in < 0:
            raise Broken(Code.FLOW_CONTROL_ERROR, "more than was granted")
        if stream is None:  # answered or reset while this was on its way
            self._count_control()
        else:
            stream.window_in -= size
            if stream.window_in < 0:
                raise Broken(Code.FLOW_CONTROL_ERROR, "more than was granted")
            if stream.ended:
                raise Broken(Code.STREAM_CLOSED, "more behind the end")
            stream.take(frames.unpadded(flags, payload), bool(flags & frames.END_STREAM))
        self.let_send()

    def _widen(self, number: int, size: int) -> None:
        if not size:
            raise Broken(Code.PROTOCOL_ERROR, "a window of nothing")
        if not number:
            self.window_out = _widened(self.window_out, size)
            self.pour()
        elif (stream := self.streams.get(number)) is not None:
            stream.window_out = _widened(stream.window_out, size)
            self.pour(stream)
        elif number > self.last:
            raise Broken(Code.PROTOCOL_ERROR, "a window of nothing")

    def _reset(self, number: int, _: int) -> None:
        if not number or number > self.last:
            raise Broken(Code.PROTOCOL_ERROR, "a reset of nothing")
        self.count_futile()
        self.controls -= 1  # that is another count
        if (stream := self.streams.get(number)) is not None:
            stream.drop()

    def _mind(self, told: list[tuple[int, int]]) -> None:
        for name, value in dict(told).items():  # of one that comes again the last counts, and 2,730 fit into a frame
            if name == frames.INITIAL_WINDOW:
                change, self.stream_window_out = value - self.stream_window_out, _widened(0, value)
                for stream in self.streams.values():
                    stream.window_out = _widened(stream.window_out, change)
            elif name == frames.MAX_FRAME:
                if not frames.LARGEST_FRAME <= value <= frames.LARGEST_EVER:
                    raise Broken(Code.PROTOCOL_ERROR, "frames of a wrong size")
                self.largest_out = min(value, limits.LARGEST_SENT)
            elif name == frames.TABLE_SIZE:
                self.table_shrunk = value < frames.TABLE
        self.write(frames.frame(frames.SETTINGS, frames.ACK, 0))
        self.pour()


def _widened(window: int, size: int) -> int:
    if window + size > frames.LARGEST_WINDOW:
        raise Broken(Code.FLOW_CONTROL_ERROR, "a window too large")
    return window + size
