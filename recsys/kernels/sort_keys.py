"""Sort keys: integers made of a float32 score (high bits) and an item's place (low bits), to sort quickly by score.

Numpy sorts integers with vector instructions. Equal scores are ordered by place, the lower first.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recsys.kernels.jit import compiled
from recsys.types import I64

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
