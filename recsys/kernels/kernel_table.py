"""Kernel table: a column of item data for compiled loops, with rows of trained items and of items added since.

The trained rows are a memory-mapped file, which is not copied when an item is added.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recsys.kernels.jit import compiled


class KernelTable(NamedTuple):
    """base: [n, ...], of the generation. late: [m] int32, rows from n on, ascending, with gaps. tail: [m, ...]."""

    base: np.ndarray
    late: np.ndarray
    tail: np.ndarray


@compiled
def locate(n, late, row):
    """The place of a row: itself in a base of n rows, n and its place among `late` [m], or -1 if there is none."""
    if row < n:
        return np.int64(row) if row >= 0 else np.int64(-1)
    at = np.searchsorted(late, row)
    return n + at if at < len(late) and late[at] == row else np.int64(-1)


@compiled
def all_known(n, late, items):
    """Whether each of items [B, K] int32 is a row of a base of n rows, one of `late` [m], or PAD."""
    for query in range(len(items)):
        for at in range(items.shape[1]):
            row = items[query, at]
            if row != -1 and locate(n, late, row) < 0:
                return False
    return True


@compiled
def rows_with_tokens(content, bits, every, out):
    """Which rows of content [n, C] int32 have a token for every bit: [n] bool.

    bits: [V] uint8, the bits of each token. every: uint8, all bits.
    """
    for row in range(len(content)):
        met = np.uint8(0)
        for column in range(content.shape[1]):
            token = content[row, column]
            if 0 <= token < len(bits):
                met |= bits[token]
        out[row] = met == every
