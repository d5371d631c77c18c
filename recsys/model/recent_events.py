"""The events of all users in the last minutes and hours, by the rows of one generation: the ranker counts them by item.

Serving and flows read `EventCounts` from the store. A training has the events of its log (`Log.recent_events`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from recsys.kernels.event_counts import ItemEvents, RecentEvents, item_events
from recsys.types import I32, PAD


class Counts(NamedTuple):
    """Events by item and span of time, in order of time.

    items: [E] int32, numbers of items. minutes: [E] int32, since 1970, the begin of the span. counts: [E] int32.
    """

    items: I32
    minutes: I32
    counts: I32


NO_ENTRIES = Counts(*(np.zeros(0, np.int32) for _ in Counts._fields))


@dataclass(frozen=True, eq=False)
class EventCounts:
    """The counts of the store at one moment, and the ids of items by their number. Ids are appended, never changed."""

    names: Sequence[str]
    by_minute: Counts
    by_hour: Counts

    def by_row(self, rows: I32, n: int) -> RecentEvents:
        """The events of n items. rows: of each name, PAD for an item that is none of them."""
        return RecentEvents(*(_by_row(counts, rows, n) for counts in (self.by_minute, self.by_hour)))


NO_COUNTS = EventCounts((), NO_ENTRIES, NO_ENTRIES)


def _by_row(counts: Counts, rows: I32, n: int) -> ItemEvents:
    items = rows[counts.items]
    known = items != PAD
    return item_events(items[known], counts.minutes[known], counts.counts[known], n)


class NameRows:
    """The rows of ids, of which only those that were appended since the last call are looked up."""

    def __init__(self, find: Callable[[Sequence[str]], Sequence[int | None]]) -> None:
        self._find = find
        self._last: tuple[Sequence[str], I32] = (), np.zeros(0, np.int32)

    def of(self, names: Sequence[str], added: Mapping[str, int]) -> I32:
        """The row of each name, PAD for an unknown one. added: rows of items that `find` does not know."""
        last, rows = self._last
        if last is not names:
            rows = rows[:0]
        new = self._find(names[len(rows) :])
        rows = np.append(rows, [PAD if row is None else row for row in new]).astype(np.int32)
        self._last = names, rows
        if not added:
            return rows
        found = rows.copy()
        for at in np.flatnonzero(rows == PAD).tolist():
            found[at] = added.get(names[at], PAD)
        return found
