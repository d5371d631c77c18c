"""How an HTTP/2 connection is answered, looked at and ended; how it is read is `connection`'s."""

from __future__ import annotations

import asyncio

from service.edge import bounds, refusals
from service.edge.refusals import Refusal
from service.edge.sweep import Sweep
from service.grpc import frames, limits
from service.grpc.frames import Broken, Code
from service.grpc.stream import Stream
from service.telemetry import metrics


class SendingConnection(asyncio.BufferedProtocol):
    """What it is told goes out as far as its client takes it; `sweep` ends it where it takes too long."""

    transport: asyncio.Transport
    lingers = False
    """Whether all is said, and it is open for its client to read that; nothing that comes is of use."""

    def __init__(self, connections: set[SendingConnection], sweep: Sweep) -> None:
        self._all = connections
        self._sweep = sweep
        self._loop = asyncio.get_running_loop()
        self.streams: dict[int, Stream] = {}
        self.settled = False  # whether its client has said what it takes
        self.last = 0  # the highest stream that its client began
        self.served = frames.LAST_STREAM  # and the highest that is answered
        self.window_in = self.window_out = self.stream_window_out = frames.WINDOW
        self.largest_out = frames.LARGEST_FRAME
        self.controls = self._futile = 0
        self.stranger = True  # whether no call of it was answered yet
        self._buffered = self._granted = 0
        self._waiting: dict[int, Stream] = {}  # whose answers are not all out
        self._full = self._leaving = False
        self._corked: list[bytes] | None = None  # what is written while it is read goes out in one piece
        self.table_shrunk = False  # whether its client's table of headers has become less, and the next block says so
        self._given = self._mark = 0  # bytes of bodies given out; and those that were when it was looked at
        self._unread_since: float | None = None
        self.half_since: float | None = None  # when a frame or a head began that is not whole
        self._made = self.since = self.now()

    def now(self) -> float:
        """The loop's clock."""
        return self._loop.time()

    # asyncio's.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a base's, it says
        """Say what is taken, where there is room."""
        self.transport = transport
        tls, place = transport.get_extra_info("ssl_object"), transport.get_extra_info("socket")
        if place is not None:
            for option in limits.SOCKET:
                place.setsockopt(*option)
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            transport.close()
            return
        if len(self._all) >= limits.CONNECTIONS and not self._sweep.make_room(self):
            self.count(refusals.FULL)
            transport.close()
            return
        self._all.add(self)
        self._sweep.begin()

    def connection_lost(self, _: Exception | None) -> None:
        """Whatever it asked for, nobody waits for it."""
        for stream in list(self.streams.values()):
            stream.drop()
        self._all.discard(self)
        self._sweep.let_go(self)

    def pause_writing(self) -> None:
        """The kernel takes no more."""
        self._full = True

    def resume_writing(self) -> None:
        """It does again."""
        self._full = False
        self.pour()

    # Answers.
    def write(self, data: bytes) -> None:
        """To its client, unless all is said: uvloop raises for what comes behind the end."""
        if self.lingers or self.transport.is_closing():
            return
        if self._corked is None:
            self.transport.write(data)
        else:
            self._corked.append(data)

    def cork(self) -> None:
        """Keep what is written until `uncork`: a system call for each of a hundred words is a part of a millisecond."""
        self._corked = []

    def uncork(self) -> None:
        """Let it go out."""
        told, self._corked = self._corked, None
        if told:
            self.write(b"".join(told))

    def send(self, stream: Stream, head: bytes, body: bytes, trailers: bytes) -> None:
        """As much of it as goes out now; the rest when there is a window for it."""
        number, size = stream.number, len(body)
        self._given += size
        parts = [self._headers(number, head)] if head else []
        most = min(self.window_out, stream.window_out, self.largest_out)
        waits = (bool(body) and (size > most or self._full)) or number in self._waiting
        if waits:
            stream.unsent += body
            stream.trailers = trailers
            self._waiting[number] = stream
        else:
            if body:
                self.window_out -= size
                stream.window_out -= size
                parts.append(frames.frame(frames.DATA, 0, number, body))
            if trailers:
                parts.append(self._headers(number, trailers, frames.END_STREAM))
        self.write(b"".join(parts))
        if waits:
            self.pour()
        elif trailers:
            self._done(stream)

    def _headers(self, number: int, block: bytes, end: int = 0) -> bytes:
        if self.table_shrunk:
            self.table_shrunk, block = False, frames.SHRUNK + block
        return frames.frame(frames.HEADERS, frames.END_HEADERS | end, number, block)

    def pour(self, one: Stream | None = None) -> None:
        """What waits and may go out; of one stream alone, where its window is what changed."""
        for stream in list(self._waiting.values()) if one is None else [one] * (one.number in self._waiting):
            while stream.unsent and not self._full:
                size = min(len(stream.unsent), self.window_out, stream.window_out, self.largest_out)
                if size <= 0:
                    break
                self.window_out -= size
                stream.window_out -= size
                self.write(frames.frame(frames.DATA, 0, stream.number, bytes(stream.unsent[:size])))
                del stream.unsent[:size]
                self._allow(limits.CONTROLS_A_FRAME)
            if stream.unsent:
                continue
            del self._waiting[stream.number]
            if stream.trailers:
                self.write(self._headers(stream.number, stream.trailers, frames.END_STREAM))
                self._done(stream)

    def _done(self, stream: Stream) -> None:
        if not stream.ended:  # it need not send the rest
            self.write(frames.reset(stream.number, Code.NO_ERROR))
        self._allow(limits.CONTROLS_A_CALL)
        self.forget(stream)

    def count_futile(self, weight: int = 1) -> None:
        """One more call that came to nothing; Broken where that is all that comes."""
        self._futile += weight
        if self._futile > limits.FUTILE:
            raise Broken(Code.ENHANCE_YOUR_CALM, "too many calls that come to nothing")

    def answered(self) -> None:
        """A call did not."""
        self._futile, self.stranger = 0, False

    def _allow(self, controls: int) -> None:
        self.controls = max(0, self.controls - controls)

    def forget(self, stream: Stream) -> None:
        """It is over."""
        if stream.closed:
            return
        stream.closed, stream.asked = True, None  # they hold each other, and would wait for the collector
        if stream.buffered:
            self.hold(stream, 0)
        self._waiting.pop(stream.number, None)
        del self.streams[stream.number]
        if not self.streams:
            self.since = self.now()
            if self._leaving:
                self._finish()

    # What comes.
    def hold(self, stream: Stream, size: int, whole: int = 0) -> None:
        """Count so many bytes of a body that is not whole, and let the rest come."""
        if (size, whole) == (stream.buffered, stream.granted):
            return
        self._buffered += size - stream.buffered
        self._granted += whole - stream.granted
        stream.buffered, stream.granted = size, whole
        if self._buffered:
            self._sweep.hold(self, self._buffered, bounds.LARGE_BODIES)
        else:
            self._sweep.let_go(self)

    def grant(self, stream: Stream, size: int) -> None:
        """Let so many more bytes of a stream come."""
        stream.window_in += size
        self.write(frames.grant(stream.number, size))

    def let_send(self) -> None:
        """Let as many come as are not held, and what is to be whole: who sends what never is waits for itself."""
        wanted = frames.WINDOW + self._granted - self._buffered
        if wanted - self.window_in >= limits.GRANT:
            self.write(frames.grant(0, wanted - self.window_in))
            self.window_in = wanted

    # The end.
    @property
    def streaming(self) -> int:
        """How many calls go on for as long as its client likes."""
        return sum(each.asked is not None and each.asked.streaming for each in self.streams.values())

    @property
    def idle(self) -> bool:
        """Whether it is waited for, and owes nobody an answer that would come to an end."""
        owed = any(each.ended and each.asked and not each.asked.streaming for each in self.streams.values())
        return not (owed or self.lingers or self.transport.is_closing())

    @property
    def unread(self) -> int:
        """How many bytes its client has to take."""
        waiting = sum(len(stream.unsent) for stream in self._waiting.values())
        return int(self.transport.get_write_buffer_size()) + waiting

    def look(self, now: float) -> bool:
        """End what has taken too long; whether something did."""
        self.controls, self._futile = 0, max(0, self._futile - limits.FUTILE_A_LOOK)
        if not (unread := self.unread):
            self._unread_since = None
        elif self._unread_since is None or self._given - unread >= self._mark:  # all that was to be read then has been
            self._unread_since, self._mark = now, self._given
        elif now - self._unread_since > bounds.READ_SECONDS:
            self.abort()
            return True
        if self.transport.is_closing() or self.lingers:
            return False
        if not self.settled and now - self._made > bounds.HANDSHAKE_SECONDS:
            self.count(refusals.SILENT)
            self.leave()
            return True
        if self.half_since is not None and now - self.half_since > bounds.HEAD_SECONDS:
            self.end(Code.ENHANCE_YOUR_CALM, "a frame or a head that does not become whole", refusals.LATE_HEAD)
            return True
        idle = not self.streams and now - self.since > limits.IDLE_SECONDS
        if not self._leaving and (idle or now - self._made > limits.AGE_SECONDS):
            self.begin_to_leave()
        return self._refuse_late(now)

    def _refuse_late(self, now: float) -> bool:
        waited = [each for each in self.streams.values() if not each.ended and now - each.since > bounds.BODY_SECONDS]
        late = [each.asked for each in waited if each.asked is not None and not each.asked.streaming]
        for asked in late:
            asked.refuse(refusals.LATE_BODY)
        return bool(late)

    def refuse(self, refusal: Refusal) -> None:
        """End what of it is not whole."""
        for stream in list(self.streams.values()):
            if stream.buffered and stream.asked is not None:
                stream.asked.refuse(refusal)

    def begin_to_leave(self) -> None:
        """Nothing new, please; a moment later nothing new is answered, and then it ends."""
        if self._leaving or self.transport.is_closing():
            return
        self._leaving = True
        self.write(frames.goaway(frames.LAST_STREAM))
        self._loop.call_later(limits.GOODBYE_SECONDS, self._leave)

    def _leave(self) -> None:
        if self.transport.is_closing():
            return
        self.served = self.last
        self.write(frames.goaway(self.last))
        for stream in list(self.streams.values()):
            if stream.asked is not None:
                stream.asked.leave()
        if not self.streams:
            self._finish()

    def _finish(self) -> None:
        """All is answered: its client closes when it has read that. Closed here before, it might be reset instead."""
        if self.served != frames.LAST_STREAM and not (self.lingers or self.transport.is_closing()):
            self._linger(bounds.READ_SECONDS)

    def _linger(self, seconds: float) -> None:
        """Nothing more is written, which would break it, and what comes is thrown away."""
        self.uncork()
        self.lingers = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._loop.call_later(seconds, self.leave)

    def end(self, code: Code, why: str, refusal: Refusal = refusals.MALFORMED) -> None:
        """At once, for it does not keep to the protocol."""
        self.count(refusal)
        for stream in list(self.streams.values()):
            stream.drop()
        if not (self.lingers or self.transport.is_closing()):
            self.write(frames.goaway(min(self.last, self.served), code, why))
            self._linger(bounds.LINGER_SECONDS)
            self.transport.pause_reading()  # it pours, perhaps, and has a second to read why nobody listens

    def leave(self) -> None:
        """Close it, once: asyncio's TLS that is closed again forgets its connection, which then is never cut."""
        self.uncork()
        if not self.transport.is_closing():
            self.transport.close()

    def make_way(self) -> None:
        """Close it for another's sake; nothing is owed on it."""
        self.count(refusals.MADE_WAY)
        self.write(frames.goaway(min(self.last, self.served)))
        self.leave()

    def abort(self) -> None:
        """Close it with what it has not read."""
        self.count(refusals.UNREAD)
        self.transport.abort()

    def count(self, refusal: Refusal) -> None:
        """One more that was ended for this reason."""
        metrics.refused_connections.labels(refusal.reason).inc()
