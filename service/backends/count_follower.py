"""Follow the counts of events in the store: a thread of each ranking process reads what changed every few seconds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from recsys.errors import TandemError
from recsys.kernels.recent_events import DELAY
from recsys.model.event_counts import NO_COUNTS, EventCounts
from recsys.store.redis.event_counters import RedisCountReader

logger = logging.getLogger("tandem")

POLL_SECONDS = DELAY / 3
"""Time between two reads: a minute is read three times before it counts, so that its late events are in."""

CHECK_SECONDS = 0.5
"""Time between two looks at the clock. Reads follow the clock of events, which may step, as after a suspended host."""


class CountFollower:
    """The counts of events, as last read. Without the store they stay, and the features' windows move past them."""

    def __init__(self, reader: RedisCountReader, prepare: Callable[[EventCounts], None] = lambda _: None) -> None:
        """prepare: called with new counts before requests read them."""
        self._reader = reader
        self._prepare = prepare
        self.current: EventCounts = NO_COUNTS

    def start(self) -> None:
        """Read all counts, then follow them on a thread that ends with the process."""
        self.refresh()
        threading.Thread(target=self._follow, name="event-counts", daemon=True).start()

    def refresh(self) -> None:
        """Read the counts that changed. An unavailable store is logged elsewhere."""
        try:
            counts = self._reader.read()
            if counts is not self.current:
                self._prepare(counts)
                self.current = counts
        except TandemError as error:
            logger.debug("Counts of events can't be read: %s", error)
        except Exception:
            logger.exception("Counts of events could not be read; trying again.")

    def _follow(self) -> None:
        newest = time.time() // POLL_SECONDS
        while True:
            time.sleep(CHECK_SECONDS)
            if (now := time.time() // POLL_SECONDS) != newest:
                newest = now
                self.refresh()
