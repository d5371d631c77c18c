"""Follow the counts of events in the store: a thread of each ranking process reads what changed every few seconds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from recsys.errors import StoreUnavailable, TandemError
from recsys.kernels.recent_events import DELAY
from recsys.model.event_counts import NO_COUNTS, EventCounts
from recsys.store.redis.event_counters import RedisCountReader
from service.telemetry.periodic import repeat_in_thread

logger = logging.getLogger("tandem")

POLL_SECONDS = DELAY / 3
"""Time between two reads: a minute is read three times before it counts, so that its late events are in."""

CHECK_SECONDS = 0.5
"""Time between two looks at the clock. Reads follow the clock of events, which may step, as after a suspended host."""


class CountFollower:
    """The counts of events as they were last read, and those of the read before, for queries that are older.

    So a slate has the same counts when its features are computed again for the log. Without the store the counts stay,
    and the features' windows move past them.
    """

    def __init__(self, reader: RedisCountReader, prepare: Callable[[EventCounts], None] = lambda _: None) -> None:
        """prepare: called with new counts before requests read them."""
        self._reader = reader
        self._prepare = prepare
        self._reads = [(0.0, NO_COUNTS)]  # unix seconds, newest first
        self._refused = False
        self._period = 0.0

    @property
    def current(self) -> EventCounts:
        """The newest counts."""
        return self._reads[0][1]

    def at(self, now: float) -> EventCounts:
        """The newest counts that were read until `now`, unix seconds; the oldest ones if none was."""
        return next((counts for moment, counts in self._reads if moment <= now), self._reads[-1][1])

    def start(self) -> None:
        """Read all counts, then follow them on a thread that ends with the process."""
        self._period = time.time() // POLL_SECONDS
        repeat_in_thread("event-counts", self._refresh_when_due, CHECK_SECONDS, first=self._read_first)

    def refresh(self) -> None:
        """Read the counts that changed. An unavailable store is logged elsewhere; a refusal is logged once."""
        try:
            counts = self._reader.read()
            self._refused = False
            if counts is not self.current:
                self._prepare(counts)
                self._reads = [(time.time(), counts), self._reads[0]]
        except StoreUnavailable as error:
            logger.debug("Counts of events can't be read: %s", error)
        except TandemError as error:
            if not self._refused:
                logger.warning(
                    "Counts of events can't be read, and features count none: %s After an update of Tandem make "
                    "users.acl of deploy/redis again.",
                    error,
                )
            self._refused = True

    def _read_first(self) -> None:
        self.refresh()
        self._reads = self._reads[:1]

    def _refresh_when_due(self) -> None:
        if (period := time.time() // POLL_SECONDS) != self._period:
            self._period = period
            self.refresh()
