"""The candidates of one query by their rows: which row is one, and where it stands among them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsys.kernels.compiled import compiled

SLOTS = 4_096
"""Of the table; eight for a candidate, so that one look into it is nearly always enough."""

_FACTOR = 2_654_435_769  # 2^32 / golden ratio: rows that follow each other lie far apart
_SHIFT = 20  # leaves 12 of 32 bits


class Ballot(NamedTuple):
    """rows: [SLOTS] int32 in the slots of a hash table, -1 where it is empty; places: [SLOTS] int32, where each stands.

    marks: [n / 8 + 1] uint8, a bit a row: most rows are no candidate, and one look at 12 KB says so.
    """

    rows: np.ndarray
    places: np.ndarray
    marks: np.ndarray


@compiled(makes_arrays=True)
def ballot(n):
    """An empty one for a catalogue of n rows."""
    return Ballot(np.full(SLOTS, -1, np.int32), np.empty(SLOTS, np.int32), np.zeros((n >> 3) + 1, np.uint8))


@compiled
def add(of, row, place):
    """Write a row that is not in it; unmarked."""
    slot = _slot(row)
    while of.rows[slot] >= 0:
        slot = (slot + 1) & (SLOTS - 1)
    of.rows[slot] = row
    of.places[slot] = place


@compiled
def clear(of):
    """Empty one that has no marks."""
    of.rows[:] = -1


@compiled
def _slot(row):
    return ((np.int64(row) * _FACTOR) & 0xFFFFFFFF) >> _SHIFT


@compiled
def seat(of, items, count):
    """Write the first `count` of distinct items into an empty ballot."""
    for at in range(count):
        row = items[at]
        add(of, row, at)
        if row >> 3 < len(of.marks):
            of.marks[row >> 3] |= np.uint8(1 << (row & 7))


@compiled
def leave(of, items, count):
    """Empty it again."""
    of.rows[:] = -1
    for at in range(count):
        if items[at] >> 3 < len(of.marks):
            of.marks[items[at] >> 3] = 0


@compiled
def may_be_one(of, row):
    """False of most rows that are no candidate, and of any that no catalogue has; says nothing of fresh items."""
    return row >= 0 and row >> 3 < len(of.marks) and (of.marks[row >> 3] >> (row & 7)) & 1 == 1


@compiled
def place_of(of, row):
    """Where a row stands, -1 where it is no candidate."""
    slot = _slot(row)
    while of.rows[slot] >= 0 and of.rows[slot] != row:
        slot = (slot + 1) & (SLOTS - 1)
    return of.places[slot] if of.rows[slot] == row else -1
