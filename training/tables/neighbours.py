"""Which items belong together: the neighbour tables of sources and features. Sparse but for EASE's one matrix."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from recsys.model.neighbour_tables import Neighbours
from recsys.types import F32, I32, I64, PAD
from training.data.interaction_log import Log
from training.evaluation.baselines import Ease

NEIGHBOURS = 128
"""Of an item, at most. On MovieLens 1M, leave one out, recall@200 of co-visitation is .655 with 64 neighbours, .683
with 128, .697 with 256, .708 with all."""

CELLS = 1 << 25
"""Neighbours of a whole table, at most: 256 MiB. Past 262,144 items each keeps fewer than NEIGHBOURS."""

COVISIT_SPAN, COVISIT_DECAY = 10, 0.8
"""Steps ahead in a user's sequence that still count as following, and what each step further takes off."""

FOLLOW_SPAN, FOLLOW_DECAY = 3, 0.7
SHRINK = 0.5
"""Exponent on the popularity of both items in the denominator: 0 recommends what is popular, 1 what is rare."""

PAIRS = 1 << 24
"""Pairs of events counted at once: with their indices 400 MB."""

EASE_LIMIT = 10_000
"""Items past which EASE's matrix of items by items is too large, and co-visitation stands alone."""

EASE_MINIMUM = 5
EASE_REGULARIZATION = 300.0


def covisit_table(log: Log) -> Neighbours:
    """What users do within some steps after an item."""
    return followers(log, COVISIT_SPAN, COVISIT_DECAY)


def follow_table(log: Log) -> Neighbours:
    """What users do right after an item, or nearly so."""
    return followers(log, FOLLOW_SPAN, FOLLOW_DECAY)


def ease_table(log: Log) -> Neighbours:
    """The best neighbours by EASE; none where more items than EASE_LIMIT have EASE_MINIMUM interactions."""
    n = len(log.catalogue)
    if (np.bincount(log.items, minlength=n) >= EASE_MINIMUM).sum() > EASE_LIMIT:
        return Neighbours.none(n)
    model = Ease(log, EASE_REGULARIZATION, EASE_MINIMUM)
    kept, weights = model.kept, model.weights
    width = min(NEIGHBOURS, len(kept), max(1, CELLS // n))
    rows, best = np.full((n, width), PAD, np.int32), np.zeros((n, width), np.float32)
    for row, item in enumerate(kept):
        order = np.argpartition(-weights[row], width - 1)[:width] if width else np.zeros(0, np.int64)
        order = order[np.argsort(-weights[row, order], kind="stable")]
        order = order[weights[row, order] > 0]
        rows[item, : len(order)], best[item, : len(order)] = kept[order], weights[row, order]
    return Neighbours(rows, best)


def followers(log: Log, span: int, decay: float, neighbours: int = NEIGHBOURS) -> Neighbours:
    """For each item those that follow it most within `span` steps of a user's sequence, by share of both's counts.

    A step leads from one first touch of an item in a session to the next, and weighs what the session made of the item.
    """
    n, touches = len(log.catalogue), log.grades > 0
    log, grades = log[touches], log.grades[touches]
    order, _ = log.by_user
    users, items, grades = log.users[order], log.items[order].astype(np.int64), grades[order]
    popularity = np.bincount(log.items, minlength=n)
    scale = (1 / (popularity + 10) ** SHRINK).astype(np.float32)
    neighbours = min(neighbours, max(1, CELLS // n))
    rows, best = np.full((n, neighbours), PAD, np.int32), np.zeros((n, neighbours), np.float32)
    by_item = np.argsort(items, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(popularity)])
    start = 0
    while start < n:
        # As many items as bring PAIRS pairs; one item alone may bring more.
        end = int(np.searchsorted(offsets, offsets[start] + PAIRS // span, side="right")) - 1
        end = min(max(end, start + 1), n)
        block = _pairs(
            users, items, grades, by_item[offsets[start] : offsets[end]], span, decay, start, (end - start, n)
        )
        block = sparse.diags(scale[start:end]) @ block @ sparse.diags(scale)
        rows[start:end], best[start:end] = _prune(block.tocoo(), start, neighbours)
        start = end
    return Neighbours(rows, best)


def _pairs(
    users: I32, items: I64, grades: F32, at: I64, span: int, decay: float, first: int, shape: tuple[int, int]
) -> sparse.csr_matrix:
    """Decayed, graded counts of what follows the events at these places: rows from item `first` on."""
    source, target, weight = [], [], []
    for step in range(1, span + 1):
        near = at[at + step < len(items)]
        near = near[users[near + step] == users[near]]
        source.append(items[near] - first)
        target.append(items[near + step])
        weight.append(grades[near + step] * np.float32(decay ** (step - 1)))
    pairs = (np.concatenate(source), np.concatenate(target))
    return sparse.csr_matrix((np.concatenate(weight), pairs), shape=shape)


def _prune(weights: sparse.coo_matrix, first: int, k: int) -> tuple[I32, F32]:
    """The k largest entries of each row, without those of row r in column first + r, largest first."""
    off = weights.row + first != weights.col
    row, col, value = weights.row[off], weights.col[off], weights.data[off]
    order = np.lexsort((col, -value, row))
    row, col, value = row[order], col[order], value[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    keep = place < k
    rows = np.full((weights.shape[0], k), PAD, np.int32)
    best = np.zeros((weights.shape[0], k), np.float32)
    rows[row[keep], place[keep]] = col[keep]
    best[row[keep], place[keep]] = value[keep]
    return rows, best
