"""Log the outages of a dependency such as Redis: one line when it goes away, one when it is back, none between."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger("tandem")

CALM_SECONDS = 3.0
"""A dependency is back once it works for so long without a failure: longer than a call that began before may hang
(2 s, `recsys.store`), so that no straggler makes a second outage of one."""


class Outage:
    """The outages of one dependency. Its callers report how each call ended, from any thread."""

    def __init__(self, name: str, meanwhile: str, clock: Callable[[], float] = time.monotonic) -> None:
        """name: for operators, such as Redis. meanwhile: a sentence, what serving does without it."""
        self._name = name
        self._meanwhile = meanwhile
        self._clock = clock
        self._lock = threading.Lock()
        self._since: float | None = None
        self._worked_since: float | None = None
        self._without = 0

    @property
    def away(self) -> bool:
        """Whether the log has a line that it went, and none yet that it is back."""
        return self._since is not None

    def failed(self, why: str) -> None:
        """The dependency is away, for this reason."""
        with self._lock:
            self._worked_since = None
            if self._since is None:
                self._since = self._clock()
                logger.warning("%s is away: %s %s", self._name, _sentence(why), self._meanwhile)

    def worked(self) -> None:
        """The dependency answered."""
        if self._since is None:
            self._without = 0  # a failure that came alone is no outage; `tandem_degraded_total` counts it
            return
        with self._lock:
            now = self._clock()
            if self._worked_since is None:
                self._worked_since = now
            elif self._since is not None and now - self._worked_since >= CALM_SECONDS:
                counted = f" {self._without:,} answers went without it." if self._without else ""
                logger.warning("%s is back after %.1f s.%s", self._name, self._worked_since - self._since, counted)
                self._since, self._worked_since, self._without = None, None, 0

    def without(self) -> None:
        """An answer was made without the dependency."""
        self._without += 1


def _sentence(why: str) -> str:
    return why if why.endswith(".") else f"{why}."
