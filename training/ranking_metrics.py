"""Ranking metrics of a recommender: the place of a target item among all items, recall@k, NDCG@k, and their means with
standard errors.

A query is one user at one moment. A target is an item that the user took later. A query has one target or more, and is
numbered from 0. The metric table, the choice of the towers' epochs and the choice of a simple order all use these
functions.
"""

from __future__ import annotations

import numpy as np
import torch

from recsys.types import F32, F64, I64

CELLS = 1 << 24
"""Scores in memory at once: 64 MiB of float32, whatever the size of the catalogue."""


def places(scores: F32, rows: I64, targets: np.ndarray) -> I64:
    """The place of each target in the ranking of its row, best 0: [T] int64. A tie counts against the target.

    scores: [B, n], -inf for an item that is not shown; as a target it has the last place. rows: [T] rows of `scores`.
    targets: [T] items.
    """
    placed = np.empty(len(targets), np.int64)
    for start in range(0, len(targets), len(scores)):
        chunk = slice(start, start + len(scores))
        target = scores[rows[chunk], targets[chunk]][:, None]
        ahead = (scores[rows[chunk]] >= target).sum(axis=1) - 1
        placed[chunk] = np.where(np.isfinite(target[:, 0]), ahead, scores.shape[1])
    return placed


def recall(places: I64, queries: I64, k: int) -> F64:
    """Recall@k of each query: the targets among the first k, as a share of the k or fewer that there could be.

    places: [T], of each target. queries: [T], the query of each target; each query from 0 on has a target.
    """
    possible = np.minimum(np.bincount(queries), k)
    shares: F64 = np.bincount(queries, places < k) / possible
    return shares


def ndcg(places: I64, queries: I64, k: int) -> F64:
    """NDCG@k of each query: the discounts 1/log2(place + 2) of the targets among the first k, over the largest sum."""
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(k) + 2))])
    gains = np.bincount(queries, (places < k) / np.log2(places + 2))
    shares: F64 = gains / ideal[np.minimum(np.bincount(queries), k)]
    return shares


def mean_and_error(values: F64, users: np.ndarray) -> tuple[float | None, float | None]:
    """The mean over queries and its standard error, clustered by user: queries of one user are not independent."""
    if not len(values):
        return None, None
    mean = float(values.mean())
    _, cluster = np.unique(users, return_inverse=True)
    deviation = np.bincount(cluster, values - mean)
    return round(mean, 6), round(float(np.sqrt((deviation**2).sum()) / len(values)), 6)


def shown_items(scores: F32, k: int) -> I64:
    """The items that are among the first k of some row of `scores` [B, n]: [S] int64."""
    best = torch.topk(torch.from_numpy(scores), min(k, scores.shape[1]), dim=1)
    shown: I64 = best.indices[torch.isfinite(best.values)].unique().numpy()
    return shown
