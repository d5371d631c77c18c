"""Which items follow which: the neighbour table that the co-visitation source reads. Sparse throughout."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from recsys.types import F32, I32, PAD
from training.log import Log

NEIGHBOURS = 64
SPAN = 10
"""Steps ahead in a user's sequence that still count as following."""

STEP_DECAY = 0.8
SHRINK = 0.5
"""Exponent on the follower's popularity in the denominator: 0 recommends what is popular, 1 what is rare."""


def neighbour_table(log: Log, neighbours: int = NEIGHBOURS) -> tuple[I32, F32]:
    """For each item the items that follow it most: rows [n, M] int32 (PAD where there is none), weights [n, M]."""
    n = len(log.catalogue)
    order, _ = log.by_user
    users, items = log.users[order], log.items[order].astype(np.int64)
    nothing = np.zeros(0, np.int64)
    total = sparse.csr_matrix((np.zeros(0, np.float32), (nothing, nothing)), shape=(n, n))
    for step in range(1, SPAN + 1):
        same = users[step:] == users[:-step]
        pair = (items[:-step][same], items[step:][same])
        weight = np.full(int(same.sum()), STEP_DECAY ** (step - 1), np.float32)
        total = total + sparse.csr_matrix((weight, pair), shape=(n, n))
    popularity = np.bincount(log.items, minlength=n).astype(np.float32)
    scale = sparse.diags(1 / (popularity + 10) ** SHRINK)
    return _prune((scale @ total @ scale).tocsr(), neighbours)


def _prune(weights: sparse.csr_matrix, k: int) -> tuple[I32, F32]:
    """The k largest entries of each row off the diagonal, largest first."""
    n = weights.shape[0]
    entries = weights.tocoo()
    off = entries.row != entries.col
    row, col, value = entries.row[off], entries.col[off], entries.data[off]
    order = np.lexsort((-value, row))
    row, col, value = row[order], col[order], value[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    keep = place < k
    rows = np.full((n, k), PAD, np.int32)
    best = np.zeros((n, k), np.float32)
    rows[row[keep], place[keep]] = col[keep]
    best[row[keep], place[keep]] = value[keep]
    return rows, best
