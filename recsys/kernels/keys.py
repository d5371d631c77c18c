"""Order by score through integers: a score's bits above, a place or a row below, and one sort of both.

Numpy sorts integers with vector instructions, where the processor has them. Equal scores stand in the order of those.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recsys.kernels.compiled import compiled
from recsys.types import I64

U64 = npt.NDArray[np.uint64]

SIGN, REST, LOW = np.uint32(1 << 31), np.uint32(2**31 - 1), np.uint64(2**32 - 1)


@compiled
def key(bits, place):
    """An integer that ascends as a score descends, then as places ascend.

    bits: the score's own, of float32 as uint32; no NaN, and no -0, which whoever asks adds 0 to. place: not negative.
    """
    return np.uint64(bits if bits >= SIGN else REST - bits) << np.uint64(32) | np.uint64(place)


@compiled
def score_of(of):
    """The bits of a key's score."""
    high = np.uint32(of >> np.uint64(32))
    return high if high >= SIGN else REST - high


def places(sorted_keys: U64) -> I64:
    """The places in keys."""
    found: I64 = (sorted_keys & LOW).view(np.int64)
    return found


def first(of: U64, k: int) -> I64:
    """The places in the k least of keys [..., n], in order; what order they were in is lost."""
    return places(least(of, k))


def least(of: U64, k: int) -> U64:
    """The k least of keys [..., n], in order; what order they were in is lost."""
    if of.shape[-1] > 4 * k:
        of = np.partition(of, k, axis=-1)[..., :k]
    of.sort(axis=-1)
    return of[..., :k]
