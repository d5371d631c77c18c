"""A fast path: what may answer a request where it was read, without what uvicorn and ASGI make of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol


class Connection(Protocol):
    """A connection that was read."""

    loop: asyncio.AbstractEventLoop
    tasks: set[asyncio.Task[None]]

    def parse(self, data: bytes) -> None:
        """Take what was read as uvicorn does."""

    def say(self, answer: bytes) -> None:
        """Send a whole answer, and go on with what came behind its request."""

    def cut(self) -> None:
        """Close it: what was taken will have no answer."""

    @property
    def last(self) -> bool:
        """Whether its next answer is the last, or it takes none any more."""

    @property
    def every_header(self) -> bytes:
        """The headers that all answers have, as they are sent."""


class FastPath(Protocol):
    """Of one process, for all of its connections."""

    def take(self, connection: Connection, data: bytes) -> bool:
        """Whether what was read is answered by `connection.say`, now or later, or given to its `parse` after all.

        Nothing is owed on the connection.
        """

    def hurry(self) -> bool:
        """Answer what was taken at once, since something came behind it; False where that can't be."""

    def learn(self, head: bytes, scope: Mapping[str, Any], size: int) -> None:
        """A request came in one piece, its body so many bytes, and uvicorn had nothing against it."""
