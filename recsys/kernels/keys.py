"""Order by score through integers: a score's bits above, its place below, and one sort of both.

Numpy sorts integers with vector instructions, where the processor has them; `python -m loadtests.kernels` times it
beside a stable argsort. Equal scores stay in their order.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recsys.types import F32, I64

U64 = npt.NDArray[np.uint64]

SIGN, REST, _LOW, _HALF = np.uint32(1 << 31), np.uint32(2**31 - 1), np.uint64(2**32 - 1), np.uint64(32)


def keys(scores: F32, places: npt.NDArray[np.integer]) -> U64:
    """Integers that ascend as scores descend, then as places ascend; no NaN, places not negative."""
    bits = (scores + np.float32(0)).view(np.uint32)  # -0 becomes 0
    high = np.where(bits >= SIGN, bits, REST - bits)
    joined: U64 = (high.astype(np.uint64) << _HALF) | places.astype(np.uint64)
    return joined


def places(sorted_keys: U64) -> I64:
    """The places in keys."""
    found: I64 = (sorted_keys & _LOW).astype(np.int64)
    return found


def descending(scores: F32) -> I64:
    """The order of scores [B, K], best first: [B, K] int64."""
    of = keys(scores, np.arange(scores.shape[1]))
    of.sort(axis=1)
    return places(of)


def first(of: U64, k: int) -> I64:
    """The places in the k least of keys [..., n], in order; what order they were in is lost."""
    if of.shape[-1] > 4 * k:
        of = np.partition(of, k, axis=-1)[..., :k]
    of.sort(axis=-1)
    return places(of[..., :k])
