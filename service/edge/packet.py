"""An answer as one packet: uvicorn writes its head and its body apart, each at once, and each wakes the client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class OnePacket:
    """The transport of one answer, whose head waits for the first of its body.

    close: what closes the transport once the answer is said. at_once: whether its head waits for nothing, as of an
    answer that has no body.
    """

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None], at_once: bool = False) -> None:
        self._transport = transport
        self._close = close
        self._head: bytes | None = None
        self._open = at_once

    def write(self, data: bytes) -> None:
        """The head first; then parts of the body."""
        if self._open:
            self._transport.write(data)
        elif self._head is None:
            self._head = data
        else:
            self._open = True
            self._transport.writelines([self._head, data])

    def close(self) -> None:
        """As of a transport; a head whose body never comes is still said."""
        if self._head is not None and not self._open:
            self._transport.write(self._head)
        self._close()

    def is_closing(self) -> bool:
        """As of a transport."""
        return self._transport.is_closing()
