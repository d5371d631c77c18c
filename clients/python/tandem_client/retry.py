"""The retry rules of the client: it sends a call again only after an error that may pass, within the deadline."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from numbers import Real

from tandem_client.answers import ErrorBody
from tandem_client.errors import ClientError, Overloaded, RequestRefused, Unavailable, too_late

FIRST_SECONDS = 0.05
MOST_SECONDS = 1.0

DAY_SECONDS = 86_400
"""The longest deadline. Sockets refuse infinity and more than 24 days."""


class Tries:
    """The tries of one call. seconds: for all of them; clock: returns seconds; chance: returns 0 to 1."""

    def __init__(
        self,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._end = clock() + _checked(seconds)
        self._failed = 0

    def left(self) -> float:
        """Seconds for the next try; DeadlineExceeded if none are left."""
        left = self._end - self._clock()
        if left <= 0:
            raise too_late()
        return left

    def pause_after(self, error: ClientError) -> float:
        """Seconds to wait before the next try; raises the error if another try can't help.

        The pause is random, below a bound that doubles: clients that failed together then do not retry together.
        """
        if not isinstance(error, Overloaded | Unavailable):
            raise error
        bound: float = min(MOST_SECONDS, FIRST_SECONDS * 2**self._failed)
        self._failed += 1
        pause = (error.retry_after or 0.0) + bound * self._chance()
        if pause >= self._end - self._clock():
            raise error
        return pause


def _checked(seconds: object) -> float:
    if isinstance(seconds, bool) or not isinstance(seconds, Real) or not seconds <= DAY_SECONDS:
        message = f"Send seconds, a number of at most {DAY_SECONDS:,}."
        raise RequestRefused(ErrorBody(code="invalid", message=message, field="deadline"))
    return float(seconds)
