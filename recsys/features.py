"""The ranker's features of user x item x context. One function, two callers: training and serving.

Knows no torch and no store. Every value of a query's row depends on that query alone, so a batch of any size gives
the same bits (tests/unit/test_retriever.py).

What they were worth on MovieLens 1M, leave one out (recall@10/ndcg@10 of one ranker, two epochs,
whole tables): without votes and likeness .3262/.1966; with the votes of covisit and follow .3343/.2026; of ease
.3374/.2027; with likeness .3293/.1975; with all of them .3472/.2100.
"""

from __future__ import annotations

import numpy as np

from recsys import moments
from recsys.sources import repeat_features
from recsys.spec import NO_TOKEN
from recsys.tables import ItemTables
from recsys.types import CANDIDATES, F32, I32, PAD, U8, Candidates, Histories, Source

ALIKE = 10
"""Newest history items whose likeness to a candidate is a feature each."""

ALIKE_WITHIN = 20
"""Newest history items among which the likest, and the mean likeness, are looked for."""

COVISIT_DECAYS = (0.0, 0.5, 0.9)
FOLLOW_DECAYS = (0.0, 0.5, 0.9)
EASE_DECAYS = (0.0, 0.5, 0.8, 0.9, 0.97)
FLAGS = (Source.TOWER, Source.COVISIT, Source.EASE, Source.POPULAR, Source.FRESH, Source.REPEAT)
VOTE_SCALE = 1e3
"""Brings votes, shares of a few thousandths, to where log1p bends."""

FEATURES = (
    "tower",
    "tower_gap",
    "tower_rank",
    *(f"covisit_{decay}" for decay in COVISIT_DECAYS),
    "covisit_share",
    "covisit_rank",
    *(f"follow_{decay}" for decay in FOLLOW_DECAYS),
    *(f"ease_{decay}" for decay in EASE_DECAYS),
    "ease_rank",
    *(f"like_{step}" for step in range(1, ALIKE + 1)),
    "like_best",
    "like_mean",
    "popularity_all",
    "popularity_30d",
    "popularity_7d",
    "popularity_decayed",
    "popularity_rank",
    "momentum",
    "age",
    "content_affinity",
    "last_content_affinity",
    "repeat_count",
    "repeat_recency",
    "history_length",
    "wait",
    "gap",
    "lift_daypart",
    "lift_weekend",
    "lift_context",
    *(f"from_{flag.names()[0]}" for flag in FLAGS),
)
"""Names of the columns that `build` returns, in order."""


def build(tables: ItemTables, histories: Histories, candidates: Candidates) -> F32:
    """Features of every candidate: [B, K, F] float32, zero where the candidate is PAD."""
    features = np.zeros((*candidates.items.shape, len(FEATURES)), np.float32)
    waits, gaps = moments.waits(histories), moments.gaps(histories)[:, -1]
    for row in range(len(candidates)):
        count = int((candidates.items[row] != PAD).sum())  # padded on the right
        if count:
            features[row, :count] = _of_one(
                tables,
                histories.items[row],
                histories.context[row],
                candidates.items[row, :count],
                candidates.tower[row, :count],
                candidates.sources[row, :count],
                (waits[row] / moments.STEPS, gaps[row] / moments.STEPS),
            )
    return features


def _of_one(
    tables: ItemTables, history: I32, context: U8, items: I32, tower: F32, sources: U8, when: tuple[float, float]
) -> F32:
    """Features of one query's K candidates: [K, F]."""
    popularity = np.log1p(tables.popularity[items])
    covisit = VOTE_SCALE * tables.covisit.votes(history, items, COVISIT_DECAYS)
    follow = VOTE_SCALE * tables.follow.votes(history, items, FOLLOW_DECAYS)
    ease = tables.ease.votes(history, items, EASE_DECAYS)
    alike = _likeness(tables, history, items)
    columns = [
        tower,
        tower - tower.max(),
        _rank(tower),
        *np.log1p(covisit),
        covisit[-1] / max(covisit[-1].max(), np.float32(1e-6)),
        _rank(covisit[-1]),
        *np.log1p(follow),
        *ease,
        _rank(ease[-2]),
        *alike[:, :ALIKE].T,
        alike.max(axis=1),
        alike.mean(axis=1),
        popularity[:, 0],
        popularity[:, 1],
        popularity[:, 2],
        popularity[:, 3],
        _rank(popularity[:, 3]),
        popularity[:, 2] - popularity[:, 1],
        np.log1p(tables.age[items]),
        *_affinity(tables, (history, history[-1:]), items),
        *repeat_features(history, items),
        np.log1p(np.float32((history != PAD).sum())),
        *when,
        *tables.context_lift.of(context, items),
        *((sources & flag) != 0 for flag in FLAGS),
    ]
    features = np.empty((len(items), len(FEATURES)), np.float32)
    for index, column in enumerate(columns):
        features[:, index] = column
    return features


def _rank(scores: F32) -> F32:
    """Log of one more than the place of each score, best first; equal scores in their order."""
    rank = np.empty(len(scores), np.float32)
    rank[np.argsort(-scores, kind="stable")] = np.arange(len(scores), dtype=np.float32)
    return np.log1p(rank)


def _likeness(tables: ItemTables, history: I32, items: I32) -> F32:
    """Inner products with the newest ALIKE_WITHIN history items, newest first, 0 where there is none: [K, 20]."""
    recent = history[-ALIKE_WITHIN:][::-1]
    past = tables.embeddings[recent] * (recent != PAD)[:, None]
    # Padded to one shape: what a matrix product adds up first depends on its shape, and bits must not.
    wide = np.zeros((CANDIDATES, past.shape[1]), np.float32)
    wide[: len(items)] = tables.embeddings[items]
    alike = np.zeros((len(items), ALIKE_WITHIN), np.float32)
    alike[:, : len(recent)] = (wide @ past.T)[: len(items)]
    return alike


def _affinity(tables: ItemTables, histories: tuple[I32, ...], items: I32) -> list[F32]:
    """Share of each history's content tokens that a candidate's tokens cover, averaged over its tokens: [K] each."""
    content = tables.content[items]
    told = np.maximum((content != NO_TOKEN).sum(axis=1), 1)
    found = []
    for history in histories:
        tokens = tables.content[history[history != PAD]]
        liked, count = np.unique(tokens[tokens != NO_TOKEN], return_counts=True)
        share = np.zeros(tables.vocabulary, np.float32)
        share[liked] = count / max(count.sum(), 1)
        found.append((share[content].sum(axis=1) / told).astype(np.float32))
    return found
