"""Admission control: it refuses requests for slates (lists of recommended items) with 429 while too many are in flight.

Overload is refused at once, because a late answer is useless. The limit follows the time that slates take: additive
increase, multiplicative decrease (Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for Congestion
Avoidance", 1989).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from recsys.errors import QueryError
from service.telemetry import metrics

LEAST = 32
"""Lowest limit: one full batch. Slates may be slow for another reason than load, such as a slow store."""

START = 128
"""Limit of a process that starts. Below it every fast slate raises the limit, above it only if half of it is used."""

DECREASE = 0.8
"""Factor of a decrease."""

TARGET_SHARE = 0.4
"""Share of the deadline that a slate may take before the limit decreases."""

MOST_OF_ONE = LEAST // 2
"""Places that one request for several users takes, at most."""

MOST_OF_MANY = 0.5
"""Share of the limit that requests for several users may use, so that requests for one user are still admitted."""


class Admission:
    """Counts the slates in flight against the limit."""

    def __init__(self, deadline: float, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """deadline: seconds that a request has. most: the highest limit."""
        self._target = TARGET_SHARE * deadline
        self._most = most
        self._clock = clock
        self._in_flight = 0
        self._of_many = 0  # of those in flight: slates of requests for several users
        self._decreased = clock()
        self._set_limit(min(START, most))

    @property
    def limit(self) -> int:
        """Slates that may be in flight."""
        return int(self._limit)

    @property
    def full(self) -> bool:
        """Whether no further request is admitted."""
        return self._in_flight >= self.limit

    def admits(self, count: int) -> bool:
        """Whether a request for so many slates is admitted now."""
        return not (self.full or (count > 1 and self._of_many >= MOST_OF_MANY * self.limit))

    @contextmanager
    def slates(self, count: int, adapts: bool = True) -> Iterator[None]:
        """Hold the places of one request; QueryError `overloaded` if there is none.

        A request is admitted as a whole: its last slates may exceed the limit. adapts: whether its time may change the
        limit. The time of a request for several users never does, because its slates wait for each other.
        """
        many, places = count > 1, min(count, MOST_OF_ONE)
        if not self.admits(count):
            raise overloaded()
        start = self._clock()
        self._in_flight += places
        self._of_many += places * many
        try:
            yield
            if adapts and not many:
                self._adapt(self._clock() - start)
        finally:
            self._in_flight -= places
            self._of_many -= places * many

    def _adapt(self, seconds: float) -> None:
        """Change the limit by the time of one slate."""
        now = self._clock()
        if seconds <= self._target:
            if self._limit < START or 2 * self._in_flight > self._limit:
                self._set_limit(min(self._limit + 1 / self._limit, self._most))
        elif now - self._decreased > self._target:  # slates in flight now were admitted by the limit before
            self._decreased = now
            self._set_limit(max(DECREASE * self._limit, min(LEAST, self._most)))

    def _set_limit(self, limit: float) -> None:
        self._limit = limit
        metrics.slates_limit.set(self.limit)


def overloaded() -> QueryError:
    """The error of a request that is not admitted."""
    return QueryError("Too many requests wait; try again in a second.", code="overloaded")
