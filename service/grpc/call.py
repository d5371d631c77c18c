"""One gRPC call (its protocol over HTTP/2): metadata, deadline, messages, and the task that answers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextvars import Context
from struct import Struct
from typing import Any, Generic, TypeVar

import grpc

from recsys.errors import QueryError
from service.edge import bounds, refusals
from service.edge.refusals import Refusal
from service.grpc import frames, limits, verdict
from service.grpc.heads import Head, seconds_of
from service.grpc.stream import Stream
from service.grpc.verdict import Refused
from service.schema.verdict import error_body, too_large
from service.telemetry import metrics

logger = logging.getLogger("tandem")

_EARLY, _EARLY_SECONDS = 0.1, 0.05
"""The part of a deadline at whose end a call that is let go has met it, and the most of that."""

_PREFIX = Struct(">BI")  # of a message: whether it is packed, and its size


class Call:
    """What was asked, apart from its message."""

    _seconds = 0.0
    ends: float | None = None
    """When its client waits no longer, by the monotonic clock; None where that is never."""
    expired = False
    """Whether its deadline was what ended it."""

    def __init__(self, head: Head) -> None:
        """QueryError where its deadline is none."""
        self.head = head
        if head.timeout is not None:
            self._seconds = seconds_of(head.timeout)
            self.ends = time.monotonic() + self._seconds

    def time_remaining(self) -> float | None:
        """Seconds that its client waits still; None where that is for ever."""
        return None if self.ends is None else self.ends - time.monotonic()

    @property
    def why_cancelled(self) -> grpc.StatusCode:
        """The status of one whose task was; a client's clock began before ours did, and it lets go at its deadline."""
        left = self.time_remaining()
        early = left is not None and left < min(_EARLY_SECONDS, _EARLY * self._seconds)
        return grpc.StatusCode.DEADLINE_EXCEEDED if self.expired or early else grpc.StatusCode.CANCELLED


RpcCall = Callable[[bytes, Call], Awaitable[bytes]]
"""Answers the bytes of a message; Refused where it does not."""

RpcStream = Callable[[AsyncIterator[bytes], Call], AsyncIterator[bytes]]
"""Answers messages as they come, for as long as it likes."""


M = TypeVar("M")


class Answering(Generic[M]):
    """Takes the messages of a stream and has them answered."""

    streaming = False
    """Whether it may take as long as its client likes."""
    _over = False  # whether its end is said, though it may have to wait for a window
    _task: asyncio.Task[None] | None = None
    _timer: asyncio.TimerHandle | None = None

    def __init__(self, stream: Stream, call: Call, context: Context, method: M, largest: int) -> None:
        """method: what answers. largest: bytes of a message."""
        self._stream, self._call, self._context = stream, call, context
        self._method, self._largest = method, largest
        self._received = bytearray()
        if call.ends is not None:
            left = max(0.0, call.ends - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(left, self._expire)

    def take(self, data: bytes, ended: bool) -> None:
        """A part of the body, and whether that was the last."""
        if self._over:
            return
        self._stream.parts += 1
        received, end = self._received, 0
        received += data
        while len(received) >= _PREFIX.size:
            packed, size = _PREFIX.unpack_from(received)
            if packed:
                self._abort(Refused(grpc.StatusCode.UNIMPLEMENTED, "Send messages as they are: none is unpacked here."))
                return
            if size > self._largest:
                self._abort(verdict.refused(error_body(too_large(self._largest))))
                return
            end = _PREFIX.size + size
            if len(received) < end:
                self._stream.let_come(end - len(received))
                break
            message = bytes(memoryview(received)[_PREFIX.size : end])
            del received[:end]
            end = 0
            self._came(message)
            if self._over:
                return
        if ended:
            self._stream.hold(0)
            self._whole()
        elif self._stream.parts > limits.PARTS + (len(received) + self._kept()) // bounds.PART:
            self.refuse(refusals.SMALL_PARTS)
        else:
            self._stream.hold(len(received) + self._kept(), end + self._kept())

    def _came(self, message: bytes) -> None:
        """A message is whole."""
        raise NotImplementedError

    def _kept(self) -> int:
        """Bytes of messages that wait for the rest."""
        return 0

    def _whole(self) -> None:
        """The last part is here."""
        raise NotImplementedError

    def _begin(self, answer: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.get_running_loop().create_task(answer, context=self._context)

    def _end(self, why: Refused, begun: bool = False) -> None:
        self._stop_timer()
        self._stream.send(trailers=why.trailers if begun else verdict.HEAD + why.trailers)

    def _abort(self, why: Refused) -> None:
        self._over = True
        self._received.clear()
        self._stream.hold(0)
        self._end(why)
        self.cancel()

    def _expire(self) -> None:
        self._call.expired = True
        self._abort(Refused(grpc.StatusCode.DEADLINE_EXCEEDED, "The deadline has passed."))

    def refuse(self, why: Refusal) -> None:
        """It takes too long or too much."""
        if self._over:
            return
        metrics.refused_connections.labels(why.reason).inc()
        self._abort(verdict.refused(error_body(_WORDS.get(why.reason) or _CROWDED)))

    def leave(self) -> None:
        """End what would go on for ever: nothing."""

    def cancel(self) -> None:
        """Nobody waits for the answer."""
        self._stop_timer()
        if self._task is not None:
            self._task.cancel()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class Once(Answering[RpcCall]):
    """One message, one answer."""

    _message: bytes | None = None

    def take(self, data: bytes, ended: bool) -> None:
        """As any; most calls come in one part, which needs no buffer."""
        size = len(data) - _PREFIX.size
        whole = ended and not (self._over or self._stream.parts)
        if whole and 0 <= size <= self._largest and _PREFIX.unpack_from(data) == (0, size):
            self._begin(self._answer(data[_PREFIX.size :]))
        else:
            super().take(data, ended)

    def _came(self, message: bytes) -> None:
        if self._message is not None:
            self._abort(Refused(grpc.StatusCode.INVALID_ARGUMENT, "There is more than one message."))
        self._message = message

    def _kept(self) -> int:
        return len(self._message or b"")

    def _whole(self) -> None:
        message, self._message = self._message, None
        if self._received or message is None:
            why = "The message is cut short." if self._received else "There is no message."
            self._abort(verdict.refused(error_body(QueryError(why, code="not_protobuf"))))
        else:
            self._begin(self._answer(message))

    async def _answer(self, message: bytes) -> None:
        try:
            told = await self._method(message, self._call)
        except Exception as error:
            self._end(_refused(error))
        else:
            self._stop_timer()
            self._stream.send(verdict.HEAD, _framed(told), verdict.DONE)
            self._stream.answered()


class Streaming(Answering[RpcStream]):
    """Messages and answers, for as long as its client likes."""

    streaming = True

    def __init__(self, stream: Stream, call: Call, context: Context, method: RpcStream) -> None:
        super().__init__(stream, call, context, method, limits.SMALL_MESSAGE)
        self._messages: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._head = verdict.HEAD
        self._begin(self._answer())

    def _came(self, message: bytes) -> None:
        self._messages.put_nowait(message)
        self._stream.parts = 0
        self._stream.let_come(frames.WINDOW)
        if self._messages.qsize() > limits.MESSAGES:
            self.refuse(refusals.LARGE_BODIES)

    def _whole(self) -> None:
        self._messages.put_nowait(None)

    async def _asked(self) -> AsyncIterator[bytes]:
        while (message := await self._messages.get()) is not None:
            yield message

    async def _answer(self) -> None:
        try:
            async for told in self._method(self._asked(), self._call):
                if len(self._stream.unsent) > limits.UNSENT:
                    raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "The answers are not read.")
                self._stream.send(self._head, _framed(told))
                self._head = b""
        except Exception as error:
            self._end(_refused(error))
        else:
            self._stop_timer()
            self._stream.send(self._head, trailers=verdict.DONE)

    def _end(self, why: Refused, begun: bool = False) -> None:
        super()._end(why, begun or not self._head)

    def leave(self) -> None:
        """It would go on for ever."""
        self._abort(Refused(grpc.StatusCode.UNAVAILABLE, "This server leaves."))


_CROWDED = QueryError("Too many large messages are on their way; try again in a second.", code="overloaded")
_WORDS = {
    refusals.LATE_BODY.reason: QueryError(
        f"The message did not come within {bounds.BODY_SECONDS:g} seconds.", code="timeout"
    ),
    refusals.SMALL_PARTS.reason: QueryError("The message comes in too many small parts.", code="too_large"),
}


def _framed(message: bytes) -> bytes:
    return _PREFIX.pack(0, len(message)) + message


def _refused(error: Exception) -> Refused:
    if isinstance(error, Refused):
        return error
    logger.error("A call failed", exc_info=error)
    return Refused(grpc.StatusCode.UNKNOWN, "The call failed.")
