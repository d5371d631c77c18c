"""The guard of a stage such as ranking: the timeout, circuit breaker, outage log and counts of every call of the stage.

The pipeline of a slate and the calls of a single query (/similar, /explain, the Explorer) go through the same guards.
So no request waits for a stage that is known to be away.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from recsys.slates.query import Degraded
from service.recommend.circuit_breaker import CircuitBreaker
from service.telemetry import metrics
from service.telemetry.outage import Outage

T = TypeVar("T")

RESERVE = 0.008
"""Seconds of a deadline that are kept for filters, selection and the response of a batch."""

LEAST_TIMEOUT = 0.02
"""Seconds. A shorter timeout is no failure of the stage: requests with short deadlines must not open its circuit
breaker for the others. It is short enough that requests with a deadline of 100 ms open it if the store hangs."""

ARMS = 8
"""Generations of arms whose circuit breakers are kept: twice those that run at once."""


class StageGuard:
    """The guard of one stage.

    A generation that fails must not open the circuit breaker for the others. So the generation of an experiment's arm
    has a circuit breaker of its own.
    """

    def __init__(self, name: str, degraded: Degraded, outage: Outage) -> None:
        """name: the label of the stage's times. degraded: the stage's name in answers that lack the stage."""
        self.outage = outage
        self._degraded = degraded
        self._breaker = CircuitBreaker()
        self._of_arms: dict[str, CircuitBreaker] = {}
        self._seconds = metrics.stage_seconds.labels(name).observe
        metrics.stage_away.labels(degraded).set(0)
        for reason in ("timeout", "error"):
            metrics.stage_failed(degraded, reason)(0)  # so that the first failure is an increase

    @property
    def away(self) -> bool:
        """Whether no call may start for the generation in force, because the last calls failed."""
        return not self._breaker.closed

    @property
    def arms_away(self) -> list[str]:
        """The generations of arms for which the stage fails now."""
        return [arm for arm, breaker in self._of_arms.items() if not breaker.closed]

    def breaker_of(self, arm: str | None) -> CircuitBreaker:
        """The circuit breaker for the generation of an arm; None: for the generation in force."""
        if arm is None:
            return self._breaker
        if arm not in self._of_arms:
            while len(self._of_arms) >= ARMS:
                self._of_arms.pop(next(iter(self._of_arms)))
            self._of_arms[arm] = CircuitBreaker()
        return self._of_arms[arm]

    async def call(
        self, run: Callable[[], Awaitable[T]], seconds: float, breaker: CircuitBreaker, is_traffic: bool = True
    ) -> T | None:
        """The result of a call; None if the call failed or did not return within `seconds`.

        breaker: receives the outcome. is_traffic: whether a request waits for the call; metrics count no other call.
        """
        if seconds <= 0:
            return None
        start = time.monotonic()
        try:
            async with asyncio.timeout(seconds) as timeout:
                found = await run()
        except Exception as error:
            late = timeout.expired()
            if is_traffic:
                metrics.stage_failed(self._degraded, "timeout" if late else "error")(1)
            if not late or seconds >= LEAST_TIMEOUT:
                why = f"no answer within {1000 * seconds:.0f} ms" if late else str(error) or type(error).__name__
                self._count_failure(breaker, why)
            return None
        finally:
            if is_traffic:
                self._seconds(time.monotonic() - start)
        self._count_success(breaker)
        return found

    def _count_success(self, breaker: CircuitBreaker) -> None:
        if breaker is self._breaker:  # an arm that works is no sign that the stage is back for the others
            if not breaker.closed:
                metrics.stage_away.labels(self._degraded).set(0)
            self.outage.worked()
        breaker.succeeded()

    def _count_failure(self, breaker: CircuitBreaker, why: str) -> None:
        breaker.failed()
        if breaker is self._breaker and not breaker.closed:
            self.outage.failed(why)
            metrics.stage_away.labels(self._degraded).set(1)
