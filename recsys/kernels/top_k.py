"""Top-k selection without a sort: the k best of many scores, and the items to recommend if no business rules apply."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsys.kernels.hash_table import get, hash_table, put
from recsys.kernels.jit import compiled


@compiled
def best(scores, out):
    """The places of the best of scores [n], best first, the lower place first among equals, into out [k] int64.

    Returns how many. scores: no NaN. Fast for a k much below n.
    """
    count = 0
    for place in range(len(scores)):
        count = insert(scores, place, out, count)
    return count


@compiled
def insert(scores, place, out, count):
    """Insert a place into the best `count` places in out [k] if it is one of the k best; returns the new count."""
    score, last = scores[place], len(out) - 1
    if count > last and (last < 0 or not score > scores[out[last]]):
        return count
    at = min(count, last)
    while at > 0 and scores[out[at - 1]] < score:
        out[at] = out[at - 1]
        at -= 1
    out[at] = place
    return min(count + 1, last + 1)


class ScoredItems(NamedTuple):
    """Items, all [n]: int32 rows, float32 scores of the ranker and of the user tower, uint16 source flags."""

    items: np.ndarray
    scores: np.ndarray
    tower: np.ndarray
    sources: np.ndarray


class Filters(NamedTuple):
    """Which items must not be recommended.

    shown: [n] bool, whether each item may be shown; or [0], then available [m] bool by row. seen, excluded: int32 rows.
    """

    shown: np.ndarray
    available: np.ndarray
    seen: np.ndarray
    excluded: np.ndarray


@compiled
def pick(scored, filters, out, removed):
    """The best items that pass the filters, best first, the first among equals, into out, `ScoredItems` of k places.

    Returns how many. removed: [3] int64, 0 before: how many items are unavailable, seen and excluded; each item counts
    for the first reason. One kernel: each numpy call costs 20 to 50 microseconds when caches are cold.
    """
    slots, reasons = hash_table(len(filters.seen) + len(filters.excluded))
    for row in filters.excluded:
        put(slots, reasons, row, 2)
    for row in filters.seen:
        put(slots, reasons, row, 1)
    chosen, count = np.empty(len(out.items), np.int64), 0
    for place in range(len(scored.items)):
        row = scored.items[place]
        if len(filters.shown):
            shown = filters.shown[place]
        else:
            shown = 0 <= row < len(filters.available) and filters.available[row]
        reason = get(slots, reasons, row) if shown else 0
        if reason >= 0:
            removed[reason] += 1
        else:
            count = insert(scored.scores, place, chosen, count)
    for at in range(count):
        place = chosen[at]
        out.items[at], out.scores[at] = scored.items[place], scored.scores[place]
        out.tower[at], out.sources[at] = scored.tower[place], scored.sources[place]
    return count
