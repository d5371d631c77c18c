"""A hash table from item rows to integers, with open addressing and linear probing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsys.kernels.jit import compiled

LEAST_SLOTS = 16

_FACTOR = 2_654_435_769
"""2^32 / golden ratio: multiplied by it, consecutive rows get slots far apart (Fibonacci hashing)."""


class HashTable(NamedTuple):
    """rows: [slots] int32, -1 where the slot is empty. values: [slots] int32. The number of slots is a power of two."""

    rows: np.ndarray
    values: np.ndarray


@compiled
def hash_table(capacity):
    """An empty table for `capacity` rows, at most a quarter full: nearly every look-up reads one slot."""
    slots = LEAST_SLOTS
    while slots < 4 * capacity:
        slots *= 2
    return HashTable(np.full(slots, -1, np.int32), np.empty(slots, np.int32))


@compiled
def put(table, row, value):
    """Set the value of a row."""
    slot = _slot(table, row)
    table.rows[slot], table.values[slot] = row, value


@compiled
def get(table, row):
    """The value of a row, -1 if the row is not in the table."""
    slot = _slot(table, row)
    return table.values[slot] if table.rows[slot] == row and row >= 0 else np.int32(-1)


@compiled
def put_places(table, rows, query, count):
    """Empty the table, then set the place of each of the first `count` distinct rows [B, K] of a query."""
    table.rows[:] = -1
    for place in range(count):
        put(table, rows[query, place], place)


@compiled
def _slot(table, row):
    """The slot that holds a row, or the empty slot where the row would go."""
    last = len(table.rows) - 1
    slot = (((np.int64(row) * _FACTOR) & 0xFFFFFFFF) >> 8) & last
    while table.rows[slot] >= 0 and table.rows[slot] != row:
        slot = (slot + 1) & last
    return slot
