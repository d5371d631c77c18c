"""How many slates may be under way in this process: learned from how long they take, so that overload is told at once.

Additive increase, multiplicative decrease (Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for
Congestion Avoidance", 1989). What is let in beyond what the cores can do waits, and what waits is answered without
its stages: that costs nearly as much as a whole answer, and is worth less than a plain word to come back.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from recsys.errors import QueryError
from service.telemetry import metrics

LEAST = 32
"""Slates that are always let in: one whole batch, whatever is slow for another reason than load."""

MOST_OF_ONE = LEAST // 2
"""Places that one request for many users takes, at most."""

MOST_OF_MANY = 0.5
"""Share of the limit from which on no request for many users is let in: they shut out nobody who asks alone."""

START = 128
FORGET_SECONDS = 10.0
"""Time constant with which a limit below START comes back to it while slates are quick and few: what a squeeze taught
is not true of the hour after it, in which nobody may come near the limit, and so nobody would teach it better."""

DECREASE = 0.8
TARGET_SHARE = 0.4
"""Of a deadline. Above it there are too many; the rest is for what varies."""


class Admission:
    """Counts slates under way against a limit."""

    def __init__(self, deadline: float, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """deadline: seconds that a request has. most: of the limit."""
        self._target = TARGET_SHARE * deadline
        self._most = most
        self._least = min(LEAST, most)
        self._clock = clock
        self._limit = self._start = float(min(START, most))
        self.limit = int(self._limit)
        """How many may be under way."""
        self._under_way = 0
        self._of_many = 0  # of those, for requests for many users
        self._decreased = self._told = clock()
        metrics.slates_limit.set(self.limit)

    @property
    def full(self) -> bool:
        """Whether whoever comes now is to come back later."""
        return self._under_way >= self.limit

    def slates(self, count: int) -> _Places:
        """Places for the slates of one request while they are made; QueryError `overloaded` where it is full.

        Of many users it is full sooner, so that there is room for who asks alone.
        A request is let in whole: its last slates may stand above the limit. That a hundred slates take long together
        says nothing of how long one takes: nothing is learned from it.
        """
        return _Places(self, count)

    def enter(self, places: int, many: bool) -> float:
        """Take places, and return the time; QueryError `overloaded` where none is free. `slates` calls it."""
        if self.full or (many and self._of_many >= MOST_OF_MANY * self.limit):
            raise overloaded()
        self._under_way += places
        self._of_many += places * many
        return self._clock()

    def leave(self, places: int, many: bool, since: float | None) -> None:
        """Return places. since: when they were taken; None where their time must not change the limit."""
        try:
            if since is not None:
                seconds = self._clock() - since
                if seconds <= self._target or not many:
                    self._learn(seconds)
        finally:
            self._under_way -= places
            self._of_many -= places * many

    def _learn(self, seconds: float) -> None:
        now, since = self._clock(), self._told
        self._told = now
        if seconds <= self._target:
            if 2 * self._under_way > self._limit:  # a limit that nobody reaches teaches nothing
                self._limit = min(self._limit + 1 / self._limit, self._most)
            elif self._limit < self._start:
                self._limit += (self._start - self._limit) * min(1.0, (now - since) / FORGET_SECONDS)
        elif now - self._decreased > self._target:  # those under way now were let in by the limit before
            self._limit = max(DECREASE * self._limit, self._least)
            self._decreased = now
        if int(self._limit) != self.limit:
            self.limit = int(self._limit)
            metrics.slates_limit.set(self.limit)


class _Places:
    """Of one request."""

    __slots__ = ("_admission", "_many", "_places", "_since")

    def __init__(self, admission: Admission, count: int) -> None:
        self._admission, self._places, self._many = admission, min(count, MOST_OF_ONE), count > 1

    def __enter__(self) -> None:
        self._since = self._admission.enter(self._places, self._many)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._admission.leave(self._places, self._many, None if kind else self._since)


def overloaded() -> QueryError:
    """What is said of a request that comes while it is full."""
    return QueryError("Too many requests wait; try again in a second.", code="overloaded")
