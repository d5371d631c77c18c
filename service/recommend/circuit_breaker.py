"""A circuit breaker for a stage such as ranking: after three failures no request waits until a probe succeeds."""

from __future__ import annotations

import time
from collections.abc import Callable

FAILURES = 3
"""Failures in a row that open the circuit breaker. A single failure may be a worker that is being replaced."""

REST_SECONDS = 0.2
"""Time between two probes of an open circuit breaker, and between a failure and the next probe."""


class CircuitBreaker:
    """Closed: every call may start. Open: no call may start except one probe each REST_SECONDS.

    clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._next_probe = 0.0

    @property
    def closed(self) -> bool:
        """Whether every call may start."""
        return self._failures < FAILURES

    def start_probe(self) -> bool:
        """Whether the caller is to start a probe now. Its outcome is reported like that of any other call."""
        if self.closed or self._clock() < self._next_probe:
            return False
        self._rest()
        return True

    def succeeded(self) -> None:
        """A call returned a result."""
        self._failures = 0

    def failed(self) -> None:
        """A call failed or timed out."""
        self._failures += 1
        self._rest()

    def _rest(self) -> None:
        self._next_probe = self._clock() + REST_SECONDS
