"""Embeddings as bytes, and how far bytes are from them: one pass over the table, and nothing of its size beside it."""

from __future__ import annotations

import numpy as np

from recsys.kernels.compiled import compiled


@compiled
def largest(items):
    """The largest number of items [n, d] without its sign; NaN where one is not finite."""
    most = np.float64(0)
    for row in range(len(items)):
        for column in range(items.shape[1]):
            size = abs(np.float64(items[row, column]))
            if not size < np.inf:
                return np.nan
            most = max(most, size)
    return most


@compiled
def fill(items, step, out):
    """Write items [n, d] in steps into out [n, W] int8, zero before."""
    for row in range(len(items)):
        for column in range(items.shape[1]):
            out[row, column] = np.int8(np.rint(np.float64(items[row, column]) / step))


@compiled
def errors(items, rounded, step):
    """How far a row of rounded [n, W] is from that of items [n, d] at most, and how long one is at most."""
    off, long = np.float64(0), np.float64(0)
    for row in range(len(items)):
        apart, length = np.float64(0), np.float64(0)
        for column in range(items.shape[1]):
            near = rounded[row, column] * step
            apart += (items[row, column] - near) ** 2
            length += near * near
        off, long = max(off, apart), max(long, length)
    return np.sqrt(off), np.sqrt(long)
