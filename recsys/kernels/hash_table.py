"""A hash table for compiled loops, from an item's row number to an integer: open addressing with linear probing.

keys: [slots] int32, -1 if a slot is empty. values: [slots] int32. The number of slots is a power of two. Kernels take
the two arrays and no tuple of both: Numba would count references to a tuple's arrays in each look-up.
"""

from __future__ import annotations

import numpy as np

from recsys.kernels.jit import compiled

LEAST_SLOTS = 16

_FACTOR = 2_654_435_769
"""2^32 / golden ratio: multiplied by it, consecutive rows get slots far apart (Fibonacci hashing)."""


@compiled
def hash_table(capacity):
    """The keys and values of an empty table for `capacity` rows, at most a quarter full: a look-up reads one slot."""
    slots = LEAST_SLOTS
    while slots < 4 * capacity:
        slots *= 2
    return np.full(slots, -1, np.int32), np.empty(slots, np.int32)


@compiled
def put(keys, values, row, value):
    """Set the value of a row."""
    slot = _slot(keys, row)
    keys[slot], values[slot] = row, value


@compiled
def get(keys, values, row):
    """The value of a row, -1 if the row is not in the table."""
    slot = _slot(keys, row)
    return values[slot] if keys[slot] == row and row >= 0 else np.int32(-1)


@compiled
def put_places(keys, values, rows, query, count):
    """Empty the table, then set the place of each of the first `count` distinct rows [B, K] of a query."""
    keys[:] = -1
    for place in range(count):
        put(keys, values, rows[query, place], place)


@compiled
def _slot(keys, row):
    """The slot that holds a row, or the empty slot where the row would go."""
    last = len(keys) - 1
    slot = (((np.int64(row) * _FACTOR) & 0xFFFFFFFF) >> 8) & last
    while keys[slot] >= 0 and keys[slot] != row:
        slot = (slot + 1) & last
    return slot
