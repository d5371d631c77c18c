"""The ranker's features of user x item x context. One function, two callers: training and serving.

Knows no torch and no store. Every value of a query's row depends on that query alone, so a batch of any size gives
the same bits (tests/unit/test_retriever.py).
"""

from __future__ import annotations

import numpy as np

from recsys.spec import NO_TOKEN
from recsys.tables import ItemTables
from recsys.types import F32, PAD, Candidates, Histories, Source

FEATURES = (
    "tower",
    "tower_gap",
    "tower_rank",
    "covisit",
    "covisit_share",
    "covisit_rank",
    "popularity_all",
    "popularity_30d",
    "popularity_7d",
    "popularity_decayed",
    "popularity_rank",
    "momentum",
    "age",
    "content_affinity",
    "last_content_affinity",
    "history_length",
    "from_tower",
    "from_covisit",
    "from_popular",
)
"""Names of the columns that `build` returns, in order."""


def build(tables: ItemTables, histories: Histories, candidates: Candidates) -> F32:
    """Features of every candidate: [B, K, F] float32, zero where the candidate is PAD."""
    real = candidates.items != PAD
    rows = np.where(real, candidates.items, 0)
    popularity = np.log1p(tables.popularity[rows])
    tower = np.where(real, candidates.tower, -np.inf)
    covisit = np.where(real, candidates.covisit, 0)
    best_covisit = covisit.max(axis=1, keepdims=True, initial=0)
    decayed = np.where(real, popularity[..., 3], -np.inf)
    length = (histories.items != PAD).sum(axis=1)
    columns = [
        candidates.tower,
        candidates.tower - np.maximum(tower.max(axis=1, keepdims=True, initial=-np.inf), -1),
        np.log1p(_rank(tower)),
        np.log1p(covisit),
        covisit / np.maximum(best_covisit, np.float32(1e-6)),
        np.log1p(_rank(covisit)),
        popularity[..., 0],
        popularity[..., 1],
        popularity[..., 2],
        popularity[..., 3],
        np.log1p(_rank(decayed)),
        popularity[..., 2] - popularity[..., 1],
        np.log1p(tables.age[rows]),
        _affinity(tables, histories.items, rows),
        _affinity(tables, histories.items[:, -1:], rows),
        np.broadcast_to(np.log1p(length)[:, None], rows.shape),
        (candidates.sources & Source.TOWER) != 0,
        (candidates.sources & Source.COVISIT) != 0,
        (candidates.sources & Source.POPULAR) != 0,
    ]
    features = np.empty((*rows.shape, len(FEATURES)), np.float32)
    for index, column in enumerate(columns):
        features[..., index] = column
    features[~real] = 0
    return features


def _rank(scores: F32) -> F32:
    """Place of each score in its row, best 0; equal scores in their order."""
    order = np.argsort(-scores, axis=1, kind="stable")
    rank = np.empty(scores.shape, np.float32)
    np.put_along_axis(rank, order, np.arange(scores.shape[1], dtype=np.float32)[None], axis=1)
    return rank


def _affinity(tables: ItemTables, history: np.ndarray, rows: np.ndarray) -> F32:
    """Share of the history's content tokens that a candidate's tokens cover, averaged over its tokens."""
    batch = len(history)
    vocabulary = tables.vocabulary
    users, positions = np.nonzero(history != PAD)
    tokens = tables.content[history[users, positions]]
    keys = (users[:, None] * vocabulary + tokens)[tokens != NO_TOKEN]
    counts = np.bincount(keys, minlength=batch * vocabulary).reshape(batch, vocabulary)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    content = tables.content[rows]
    flat = content.reshape(batch, rows.shape[1] * content.shape[2])
    covered = np.take_along_axis(share, flat, axis=1).reshape(content.shape)
    affinity: F32 = (covered.sum(axis=2) / np.maximum((content != NO_TOKEN).sum(axis=2), 1)).astype(np.float32)
    return affinity
