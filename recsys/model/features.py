"""Compute the ranker's features, its inputs: numbers about a user, an item to score, and the context of the request.

Training and serving call the same function. The features of a query depend on that query alone: a batch of any size
gives the same bits (tests/unit/retrieval/test_retriever.py). Recall@10/ndcg@10 of one ranker on MovieLens 1M, leave one
out, two epochs: .3262/.1966 without the votes of neighbour tables and the similarity to past items, .3343/.2026 with
the votes of covisit and follow, .3374/.2027 of ease, .3293/.1975 with similarity, .3472/.2100 with all.
"""

from __future__ import annotations

import numpy as np

from recsys.fresh_items.extended_column import base
from recsys.generation.item_tables import ItemTables
from recsys.kernels import feature_kernels
from recsys.kernels.feature_kernels import (
    COVISIT_DECAYS,
    EASE_DECAYS,
    LOGGED,
    NAMES,
    RANKS,
    FeatureArrays,
    FeatureSettings,
    FeatureTables,
    QueryArrays,
)
from recsys.kernels.jit import contiguous
from recsys.kernels.recent_events import NO_EVENTS, RecentEvents
from recsys.model.feature_spec import FeatureSpec
from recsys.model.neighbour_tables import powers
from recsys.retrieval.registry import RETRIEVED
from recsys.types import F32, HISTORY_LENGTH, Candidates, Histories

FEATURES = (*NAMES, *(f"from_{source.name}" for source in RETRIEVED))
"""The features of every dataset, in order. Those of the sources are last: an older ranker lacks the newest of these."""

SETTINGS = FeatureSettings(
    powers=powers(COVISIT_DECAYS),
    ease_powers=powers(EASE_DECAYS),
    repeat_powers=np.float32(0.9) ** np.arange(HISTORY_LENGTH, dtype=np.float32),
    flags=np.array([source.flag for source in RETRIEVED], np.uint16),
    logs=np.log1p(np.arange(4_096, dtype=np.float32)),
)


def own_names(spec: FeatureSpec) -> tuple[str, ...]:
    """The features of a dataset's own columns: each column's value, and its difference to the mean of the history."""
    return tuple(name for column, _ in spec.own for name in (f"own_{column}", f"gap_{column}"))


def names(spec: FeatureSpec) -> tuple[str, ...]:
    """The columns of `build` for a generation with this spec, in order."""
    return (*FEATURES, *own_names(spec))


def width(tables: ItemTables) -> int:
    """The number of columns of `build`."""
    return len(FEATURES) + 2 * int(tables.own_table.base.shape[1])


def build(tables: ItemTables, histories: Histories, candidates: Candidates, recent: RecentEvents = NO_EVENTS) -> F32:
    """Features of every candidate: [B, K, F] float32, zero for PAD. recent: the events of all users."""
    return np.swapaxes(columns(tables, histories, candidates, recent), 1, 2)


def columns(tables: ItemTables, histories: Histories, candidates: Candidates, recent: RecentEvents = NO_EVENTS) -> F32:
    """The same with features in rows, as kernels write and read them: [B, F, K] float32."""
    batch, room = candidates.items.shape
    queries = QueryArrays(
        *(contiguous(candidates.items), contiguous(histories.items), contiguous(histories.times)),
        *(contiguous(histories.now), contiguous(histories.context)),
        *(contiguous(candidates.tower), contiguous(candidates.sources)),
    )
    arrays = FeatureArrays(
        x=np.zeros((batch, width(tables), room), np.float32),
        counts=np.empty(batch, np.int64),
        order=np.empty((batch, len(RANKS), room), np.uint64),
        to_log=np.empty((batch, len(LOGGED), room), np.float32),
    )
    read = _tables(tables, recent)
    feature_kernels.begin(queries, read, SETTINGS, arrays)
    np.log1p(arrays.to_log, out=arrays.to_log)
    arrays.order.sort(axis=2)
    feature_kernels.finish(queries, read, SETTINGS, arrays)
    return arrays.x


def _tables(tables: ItemTables, recent: RecentEvents) -> FeatureTables:
    """The tables as kernels read them."""
    return FeatureTables(
        embeddings=tables.embedding_table,
        content=tables.content_table,
        vocabulary=tables.vocabulary,
        covisit_rows=tables.covisit.rows,
        covisit_weights=tables.covisit.weights,
        follow_rows=tables.follow.rows,
        follow_weights=tables.follow.weights,
        ease_rows=tables.ease.rows,
        ease_weights=tables.ease.weights,
        popularity=base(tables.popularity),
        age=base(tables.age),
        lifts=tables.context_lift.table,
        lift_starts=tables.context_lift.starts,
        recent=recent,
        own=tables.own_table,
    )
