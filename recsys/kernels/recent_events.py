"""Event counts: how many events of all users a candidate item has in the minutes, hour and day before a query.

A window ends at a full minute or hour, at least DELAY seconds before the query. So serving, which reads the store's
counters a few seconds late, and training, which reads the times of a log, count the same events.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsys.kernels.jit import compiled
from recsys.kernels.kernel_table import locate

DELAY = 15.0
"""Seconds from the end of a window to the query, at least: the time in which events reach all processes that rank."""

HOUR = 60
"""Minutes, the unit of the tables."""

WINDOWS = "popularity_10m", "popularity_1h", "popularity_24h"
"""The features. The last counts full hours; the others count full minutes."""


class ItemEvents(NamedTuple):
    """The times of events by item.

    starts: [n + 1] int64, where the entries of each item begin. minutes: [E] int32, since 1970, ascending for an item.
    totals: [E + 1] int64, the number of events before each entry.
    """

    starts: np.ndarray
    minutes: np.ndarray
    totals: np.ndarray


_NONE = np.zeros(0, np.int32)


class RecentEvents(NamedTuple):
    """The events of windows with steps of a minute, and of those with steps of an hour.

    numbers: [n] int32, the item of both tables at each place of a `KernelTable`, -1 for none; empty if it is the place.
    """

    by_minute: ItemEvents
    by_hour: ItemEvents
    numbers: np.ndarray = _NONE


def item_events(items: np.ndarray, minutes: np.ndarray, counts: np.ndarray, n: int) -> ItemEvents:
    """The events of n items. items, minutes, counts: [E], of each entry, in order of time."""
    order = np.argsort(items, kind="stable")
    starts, totals = np.zeros(n + 1, np.int64), np.zeros(len(items) + 1, np.int64)
    np.cumsum(np.bincount(items, minlength=n), out=starts[1:])
    np.cumsum(counts[order], out=totals[1:])
    return ItemEvents(starts, minutes[order].astype(np.int32), totals)


NO_EVENTS = RecentEvents(item_events(_NONE, _NONE, _NONE, 0), item_events(_NONE, _NONE, _NONE, 0))
"""Without a counter each feature is 0."""


@compiled
def count_recent(recent, n, late, now, items, counts, x, first):
    """The events in each of WINDOWS: three features. n, late: of the `KernelTable` of items. now: [B] unix seconds."""
    for query in range(len(items)):
        minute = np.int64(np.floor((now[query] - DELAY) / 60))
        hour = minute // HOUR * HOUR
        for at in range(counts[query]):
            item = locate(n, late, items[query, at])
            if len(recent.numbers):
                item = np.int64(recent.numbers[item]) if 0 <= item < len(recent.numbers) else np.int64(-1)
            x[query, first, at] = count_between(recent.by_minute, item, minute - 10, minute)
            x[query, first + 1, at] = count_between(recent.by_minute, item, minute - HOUR, minute)
            x[query, first + 2, at] = count_between(recent.by_hour, item, hour - 24 * HOUR, hour)


@compiled
def count_between(events, item, start, end):
    """The events of an item from one minute, and before another; 0 for an item that is not there."""
    if not 0 <= item < len(events.starts) - 1:
        return np.int64(0)
    first = events.starts[item]
    minutes = events.minutes[first : events.starts[item + 1]]
    before = first + np.searchsorted(minutes, start)
    return events.totals[first + np.searchsorted(minutes, end)] - events.totals[before]
