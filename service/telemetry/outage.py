"""The log of an outage of a dependency such as Redis: one line at the start, one line at the end, none between."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger("tandem")

CALM_SECONDS = 3.0
"""An outage ends after so long without a failure. A call that began during the outage may fail 2 s later
(`recsys.store`), which must not start a second outage."""


class Outage:
    """The outages of one dependency. Callers report how each call ended, from any thread."""

    def __init__(self, name: str, meanwhile: str, clock: Callable[[], float] = time.monotonic) -> None:
        """name: of the dependency, for the log. meanwhile: a sentence on what serving does without the dependency."""
        self._name = name
        self._meanwhile = meanwhile
        self._clock = clock
        self._lock = threading.Lock()
        self._since: float | None = None
        self._worked_since: float | None = None
        self._without = 0

    @property
    def away(self) -> bool:
        """Whether an outage was logged and its end was not."""
        return self._since is not None

    def failed(self, why: str) -> None:
        """A call failed. The first failure starts an outage."""
        with self._lock:
            self._worked_since = None
            if self._since is None:
                self._since = self._clock()
                logger.warning("%s is away: %s. %s", self._name, why.removesuffix("."), self._meanwhile)

    def worked(self) -> None:
        """A call succeeded. The first success after CALM_SECONDS of successes ends the outage."""
        if self._since is None:
            self._without = 0  # a single failure is no outage; `tandem_degraded_total` counts it
            return
        with self._lock:
            now = self._clock()
            if self._worked_since is None:
                self._worked_since = now
            elif self._since is not None and now - self._worked_since >= CALM_SECONDS:
                count = f" {self._without:,} answers went without it." if self._without else ""
                logger.warning("%s is back after %.1f s.%s", self._name, self._worked_since - self._since, count)
                self._since, self._worked_since, self._without = None, None, 0

    def without(self) -> None:
        """An answer was made without the dependency."""
        self._without += 1
