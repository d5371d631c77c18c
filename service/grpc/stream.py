"""One stream of an HTTP/2 connection: what came of it, what goes out of it, and who is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from service.edge.refusals import Refusal
from service.grpc import frames

if TYPE_CHECKING:  # which has streams
    from service.grpc.sending import SendingConnection


class Asked(Protocol):
    """What is asked on a stream."""

    @property
    def streaming(self) -> bool:
        """Whether it may take as long as its client likes."""

    def take(self, data: bytes, ended: bool) -> None:
        """A part of its body, and whether that was the last."""

    def refuse(self, why: Refusal) -> None:
        """It takes too long or too much."""

    def leave(self) -> None:
        """End what would go on for ever."""

    def cancel(self) -> None:
        """Nobody waits for the answer."""


class Stream:
    """One call on the wire."""

    # What most never change is their class's, and not slots: it takes a call no time to be told.
    asked: Asked | None = None
    ended = closed = False  # its client's side; both
    futile = False  # whether it asks for what its client may not have, or nobody has
    window_in = frames.WINDOW
    buffered = granted = parts = 0
    trailers = b""

    def __init__(self, connection: SendingConnection, number: int, window_out: int, since: float) -> None:
        """since: from when its client is waited for to say the rest; endless where it has said all."""
        self._connection = connection
        self.number, self.window_out, self.since = number, window_out, since
        self.unsent = bytearray()

    def take(self, data: bytes, ended: bool) -> None:
        """A part of its body, and whether that was the last."""
        self.ended = ended
        if self.asked is not None:
            self.asked.take(data, ended)

    @property
    def neighbours(self) -> int:
        """How many of its connection go on without an end."""
        return self._connection.streaming

    def send(self, head: bytes = b"", body: bytes = b"", trailers: bytes = b"") -> None:
        """Answer: header blocks, where it is the time for them, and DATA; with trailers it is the end."""
        if not self.closed:
            self._connection.send(self, head, body, trailers)

    def hold(self, size: int, whole: int = 0) -> None:
        """So many bytes of it wait here for more; whole: how many there will be, so that all may come."""
        self._connection.hold(self, size, whole)

    def let_come(self, size: int) -> None:
        """So many bytes may come now, at least; what the connection takes is told with `hold`."""
        if size > self.window_in and not self.closed:
            self._connection.grant(self, size - self.window_in)

    def answered(self) -> None:
        """What was asked had an answer."""
        self._connection.answered()

    def drop(self) -> None:
        """Its client wants nothing any more."""
        asked = self.asked
        self._connection.forget(self)
        if asked is not None:
            asked.cancel()
