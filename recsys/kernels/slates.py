"""What a slate takes once candidates are scored, each in one go.

A call of numpy whose code others have driven from the cache meanwhile takes 20 to 50 us, and a slate
took several (docs/decisions.md).
"""

from __future__ import annotations

import numpy as np

from recsys.kernels.compiled import compiled
from recsys.kernels.top import insert


@compiled(makes_arrays=True)
def pick(items, scores, tower, sources, shown, available, seen, excluded, out_items, out, out_sources, removed):
    """The best of candidates [n] that may be shown, best first and the first of equals; how many.

    items: int32, scores, tower: float32, no NaN among scores, sources: uint16. shown: [n] bool, which may be shown; or
    [0], then available [m] bool says of which rows. seen, excluded: rows that may not. out_items, out_sources:
    [k], out: [2, k] float32, scores and tower. removed: [3] int64, how many are not available, seen, and excluded,
    each by the first of these.
    """
    slots = 16
    while slots < 2 * (len(seen) + len(excluded)):
        slots *= 2
    held, why = np.full(slots, -1, np.int32), np.zeros(slots, np.uint8)
    _hold(held, why, seen, 1)
    _hold(held, why, excluded, 2)
    chosen, count = np.empty(len(out_items), np.int64), 0
    for place in range(len(items)):
        row = items[place]
        if not (shown[place] if len(shown) else 0 <= row < len(available) and available[row]):
            removed[0] += 1
            continue
        slot = _slot(row, held)
        if held[slot] >= 0:
            removed[why[slot]] += 1
            continue
        count = insert(scores, place, chosen, count)
    for at in range(count):
        place = chosen[at]
        out_items[at], out_sources[at] = items[place], sources[place]
        out[0, at], out[1, at] = scores[place], tower[place]
    return count


@compiled
def _hold(held, why, rows, reason):
    """Keep rows and the reason why; the first that one has stays."""
    for at in range(len(rows)):
        slot = _slot(rows[at], held)
        if held[slot] < 0:
            held[slot], why[slot] = rows[at], reason


@compiled
def _slot(row, held):
    """Where a row stands among those that are held, or would."""
    mask = len(held) - 1
    slot = (((np.int64(row) * 2_654_435_769) & 0xFFFFFFFF) >> 8) & mask
    while held[slot] >= 0 and held[slot] != row:
        slot = (slot + 1) & mask
    return slot
