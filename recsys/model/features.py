"""Compute the ranker's features, its inputs: numbers about a user, an item to score, and the context of the request.

Training and serving call the same function. The features of a query depend on that query alone: a batch of any size
gives the same bits (tests/unit/retrieval/test_retriever.py). Recall@10/ndcg@10 of one ranker on MovieLens 1M, leave one
out, two epochs: .3262/.1966 without the votes of neighbour tables and the similarity to past items, .3343/.2026 with
the votes of covisit and follow, .3374/.2027 of ease, .3293/.1975 with similarity, .3472/.2100 with all.
"""

from __future__ import annotations

import numpy as np

from recsys.fresh_items.extended_column import base
from recsys.generation.item_tables import POPULARITY_WINDOWS, ItemTables
from recsys.kernels import feature_kernels
from recsys.kernels.feature_kernels import FeatureArrays, FeatureRows, FeatureSettings, FeatureTables, QueryArrays
from recsys.kernels.jit import contiguous
from recsys.model import time_features
from recsys.model.neighbour_tables import powers
from recsys.retrieval.registry import RETRIEVED
from recsys.types import CLOCK, F32, HISTORY_LENGTH, Candidates, Histories

ALIKE = 10
"""The newest history items, whose similarity to a candidate is a feature each."""

ALIKE_WITHIN = 20
"""The newest history items of the largest and the mean similarity."""

COVISIT_DECAYS = (0.0, 0.5, 0.9)
FOLLOW_DECAYS = (0.0, 0.5, 0.9)
EASE_DECAYS = (0.0, 0.5, 0.8, 0.9, 0.97)
VOTE_SCALE = np.float32(1e3)
"""Scales votes, which are shares of a few thousandths, to the range where log1p is not linear."""

REPEAT_POWERS = np.float32(0.9) ** np.arange(HISTORY_LENGTH, dtype=np.float32)
LOG_PLACES = np.log1p(np.arange(4_096, dtype=np.float32))

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
    *(f"from_{source.name}" for source in RETRIEVED),
)
"""The columns of `build`, in order. Those of the sources are last: a ranker from before a source reads the others."""


PLACE = {name: index for index, name in enumerate(FEATURES)}
ROWS = FeatureRows(
    tower=PLACE["tower"],
    tower_gap=PLACE["tower_gap"],
    covisit=PLACE[f"covisit_{COVISIT_DECAYS[0]}"],
    covisit_last=PLACE[f"covisit_{COVISIT_DECAYS[-1]}"],
    covisit_share=PLACE["covisit_share"],
    follow=PLACE[f"follow_{FOLLOW_DECAYS[0]}"],
    ease=PLACE[f"ease_{EASE_DECAYS[0]}"],
    ease_order=PLACE[f"ease_{EASE_DECAYS[-2]}"],
    likeness=PLACE["like_1"],
    popularity=PLACE["popularity_all"],
    popularity_decayed=PLACE["popularity_decayed"],
    momentum=PLACE["momentum"],
    age=PLACE["age"],
    affinity=PLACE["content_affinity"],
    repeats=PLACE["repeat_count"],
    query=PLACE["history_length"],
    lifts=PLACE["lift_daypart"],
    flags=PLACE[f"from_{RETRIEVED[0].name}"],
)
SOURCE_FLAGS = np.array([source.flag for source in RETRIEVED], np.uint16)
RANKS = np.array([PLACE[name] for name in ("tower_rank", "covisit_rank", "ease_rank", "popularity_rank")])
LOGGED = np.array(
    [
        *(PLACE[f"covisit_{decay}"] for decay in COVISIT_DECAYS),
        *(PLACE[f"follow_{decay}"] for decay in FOLLOW_DECAYS),
        *(PLACE[f"popularity_{window}"] for window in POPULARITY_WINDOWS),
        PLACE["age"],
    ]
)
"""Columns that become log(1 + x)."""


SETTINGS = FeatureSettings(
    rows=ROWS,
    powers=powers(COVISIT_DECAYS),
    ease_powers=powers(EASE_DECAYS),
    scale=VOTE_SCALE,
    flags=SOURCE_FLAGS,
    steps=time_features.STEPS,
    within=ALIKE_WITHIN,
    alike=ALIKE,
    repeat_powers=REPEAT_POWERS,
    hours=time_features.HOURS_OF_A_PART,
    saturday=time_features.SATURDAY,
    clock=CLOCK,
    logs=LOG_PLACES,
    ranks=RANKS,
    logged=LOGGED,
)


def build(tables: ItemTables, histories: Histories, candidates: Candidates) -> F32:
    """Features of every candidate: [B, K, F] float32, zero for PAD."""
    return np.swapaxes(columns(tables, histories, candidates), 1, 2)


def columns(tables: ItemTables, histories: Histories, candidates: Candidates) -> F32:
    """The same with features in rows, as kernels write and read them: [B, F, K] float32."""
    batch, room = candidates.items.shape
    queries = QueryArrays(
        *(contiguous(candidates.items), contiguous(histories.items), contiguous(histories.times)),
        *(contiguous(histories.now), contiguous(histories.context)),
        *(contiguous(candidates.tower), contiguous(candidates.sources)),
    )
    arrays = FeatureArrays(
        x=np.zeros((batch, len(FEATURES), room), np.float32),
        counts=np.empty(batch, np.int64),
        order=np.empty((batch, len(RANKS), room), np.uint64),
        to_log=np.empty((batch, len(LOGGED), room), np.float32),
    )
    read = _tables(tables)
    feature_kernels.begin(queries, read, SETTINGS, arrays)
    np.log1p(arrays.to_log, out=arrays.to_log)
    arrays.order.sort(axis=2)
    feature_kernels.finish(queries, read, SETTINGS, arrays)
    return arrays.x


def _tables(tables: ItemTables) -> FeatureTables:
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
    )
