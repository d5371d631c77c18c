"""Top-k selection: sort keys, the k best of many scores, and the items to recommend if no business rules apply.

A sort key is an integer made of a float32 score (high bits) and an item's place (low bits). Numpy sorts integers with
vector instructions. Equal scores are ordered by place, the lower first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recsys.kernels.hash_table import get, hash_table, put
from recsys.kernels.jit import compiled, contiguous
from recsys.types import F32, I32, I64

U64 = npt.NDArray[np.uint64]

SIGN, REST, LOW = np.uint32(1 << 31), np.uint32(2**31 - 1), np.uint64(2**32 - 1)

NO_KEY = np.uint64(2**64 - 1)
"""Sorts behind every key of a score."""


@compiled
def key(score, place):
    """An integer that ascends as a float32 score descends, then as the place ascends. score: no NaN. place: from 0."""
    bits = np.float32(score).view(np.uint32)
    if bits == SIGN:  # -0 is equal to 0; the compiler removes the sum with 0 that would turn -0 into 0
        bits = np.uint32(0)
    return np.uint64(bits if bits >= SIGN else REST - bits) << np.uint64(32) | np.uint64(place)


@compiled
def score_of(of):
    """The score of a key."""
    high = np.uint32(of >> np.uint64(32))
    return np.uint32(high if high >= SIGN else REST - high).view(np.float32)


@compiled
def write_keys(scores, rows, out):
    """Write the keys of rows [B, K] int32 by their scores into out [B, K] uint64; NO_KEY for a negative row."""
    for query in range(len(rows)):
        for at in range(rows.shape[1]):
            row = rows[query, at]
            out[query, at] = key(scores[query, at], row) if row >= 0 else NO_KEY


def keys_of(scores: F32, rows: I32) -> U64:
    """The keys of rows [B, K] by their scores; NO_KEY for PAD."""
    keys = np.empty(rows.shape, np.uint64)
    write_keys(contiguous(scores), contiguous(rows), keys)
    return keys


def rows_of(keys: U64) -> I32:
    """The rows [B, K] in keys; PAD for NO_KEY."""
    return keys.astype(np.uint32).view(np.int32)


def places(sorted_keys: U64) -> I64:
    """The places in keys."""
    found: I64 = (sorted_keys & LOW).view(np.int64)
    return found


def least(of: U64, k: int) -> U64:
    """The k least of keys [..., n], in order. Changes the order of `of`."""
    if of.shape[-1] > 4 * k:
        of = np.partition(of, k, axis=-1)[..., :k]
    of.sort(axis=-1)
    return of[..., :k]


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
