"""Looks at all connections of a server every half second, and keeps count of what they hold together.

One timer for all of them: what a connection waits for costs its requests a look at the clock, and no timer of their
own. Who began at once is late at once, so few are ended at a time, and others' requests go between.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from service.edge import bounds, refusals
from service.edge.refusals import Refusal


class Swept(Protocol):
    """A connection."""

    @property
    def since(self) -> float:
        """When what it is waited for began."""

    @property
    def idle(self) -> bool:
        """Whether it is waited for."""

    @property
    def lingers(self) -> bool:
        """Whether it is refused, and open for its client to read why."""

    @property
    def unread(self) -> int:
        """How many bytes its client has to take."""

    def look(self, now: float) -> bool:
        """End it where it has taken too long; whether it did."""

    def refuse(self, refusal: Refusal) -> None:
        """End it with a word."""

    def leave(self) -> None:
        """Linger no more."""

    def make_way(self) -> None:
        """End it for another's sake."""

    def abort(self) -> None:
        """End it with what it has not read."""


class Sweep:
    """Of one server's connections."""

    def __init__(self, connections: set[Any], loop: asyncio.AbstractEventLoop) -> None:
        self._connections: set[Swept] = connections
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._held: dict[Swept, int] = {}  # the oldest first
        self._together = 0
        self._thrown_away = 0

    @classmethod
    def of(cls, server_state: Any, loop: asyncio.AbstractEventLoop) -> Sweep:
        """The one of a server, by uvicorn's state of it."""
        found: Sweep | None = getattr(server_state, "tandem_sweep", None)
        if found is None:
            found = server_state.tandem_sweep = cls(server_state.connections, loop)
        return found

    def begin(self) -> None:
        """Look from now on, while there is a connection."""
        if self._timer is None:
            self._timer = self._loop.call_later(bounds.LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._thrown_away = 0
        self._look_at(list(self._connections))
        self._shed_unread()

    def _look_at(self, connections: list[Swept]) -> None:
        now, ended = self._loop.time(), 0
        try:
            while connections and ended < bounds.ENDS:
                each = connections.pop()
                ended += each in self._connections and each.look(now)
        finally:  # the loop tells what was wrong with one, and the others are looked at
            self._timer = None
            if connections:
                self._timer = self._loop.call_later(bounds.ENDS_SECONDS, self._look_at, connections)
            elif self._connections:
                self.begin()

    def _shed_unread(self) -> None:
        unread = {each: size for each in self._connections if (size := each.unread)}
        together = sum(unread.values())
        for connection in sorted(unread, key=lambda each: each.since):
            if together <= bounds.UNREAD:
                break
            together -= unread[connection]
            connection.abort()

    def may_throw_away(self, size: int) -> bool:
        """Whether so much more may be read in vain until it is looked at again."""
        self._thrown_away += size
        return self._thrown_away < bounds.THROWN_AWAY

    def make_room(self, newcomer: Swept) -> bool:
        """Close one that is refused and lingers, or the one waited for longest; False where all others wait for us."""
        others = [each for each in self._connections if each is not newcomer]
        if lingering := next((each for each in others if each.lingers), None):
            lingering.leave()
            return True
        longest = min((each for each in others if each.idle), key=lambda each: each.since, default=None)
        if longest is None:
            return False
        longest.make_way()
        return True

    def hold(self, connection: Swept, size: int, most: int) -> None:
        """Count so many bytes of an unfinished body; where all of them are more than `most`, the oldest has to go."""
        self._together += size - self._held.get(connection, 0)
        self._held[connection] = size
        while self._together > most:
            oldest = next(iter(self._held))
            if oldest is connection and len(self._held) > 1:  # it is coming
                oldest = list(self._held)[1]
            oldest.refuse(refusals.LARGE_BODIES)
            self.let_go(oldest)  # it may be slow to: it is not asked twice

    def let_go(self, connection: Swept) -> None:
        """Count it no more."""
        self._together -= self._held.pop(connection, 0)
