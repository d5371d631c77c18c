"""How many slates may be under way in this process: learned from how long they take, so that overload is told at once.

Additive increase, multiplicative decrease (Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for
Congestion Avoidance", 1989). What is let in beyond what the cores can do waits, and what waits is answered without
its stages: that costs nearly as much as a whole answer, and is worth less than a plain word to come back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from recsys.errors import QueryError
from service import metrics

LEAST = 32
"""Slates that are always let in: one whole batch, whatever is slow for another reason than load."""

MOST_OF_ONE = LEAST // 2
"""Places that one request for many users takes, at most: a single caller shuts nobody out."""

START = 128
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
        self._limit = float(min(START, most))
        self._under_way = 0
        self._decreased = clock()
        metrics.slates_limit.set(self.limit)

    @property
    def limit(self) -> int:
        """How many may be under way."""
        return int(self._limit)

    @property
    def full(self) -> bool:
        """Whether whoever comes now is to come back later."""
        return self._under_way >= self.limit

    @contextmanager
    def slates(self, count: int) -> Iterator[None]:
        """Hold places for the slates of one request while they are made; QueryError `overloaded` where it is full.

        A request is let in whole: its last slates may stand above the limit. What a hundred slates take together says
        nothing of how long one takes: only from single ones is learned.
        """
        if self.full:
            raise overloaded()
        places = min(count, MOST_OF_ONE)
        self._under_way += places
        start = self._clock()
        try:
            yield
            if count == 1:
                self._learn(self._clock() - start)
        finally:
            self._under_way -= places

    def _learn(self, seconds: float) -> None:
        now, before = self._clock(), self.limit
        if seconds <= self._target:
            if 2 * self._under_way > self._limit:  # a limit that nobody reaches teaches nothing
                self._limit = min(self._limit + 1 / self._limit, self._most)
        elif now - self._decreased > self._target:  # those under way now were let in by the limit before
            self._limit = max(DECREASE * self._limit, self._least)
            self._decreased = now
        if self.limit != before:
            metrics.slates_limit.set(self.limit)


def overloaded() -> QueryError:
    """What is said of a request that comes while it is full."""
    return QueryError("Too many requests wait; try again in a second.", code="overloaded")
