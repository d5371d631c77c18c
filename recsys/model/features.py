"""The ranker's features of each user, item and context. Training and serving call the same function.

The features of a query depend on that query alone: a batch of any size gives the same bits
(tests/unit/retrieval/test_retriever.py). Recall@10/ndcg@10 of one ranker on MovieLens 1M, leave one out, two epochs:
.3262/.1966 without votes and similarity, .3343/.2026 with the votes of covisit and follow, .3374/.2027 of ease,
.3293/.1975 with similarity, .3472/.2100 with all.
"""

from __future__ import annotations

import numpy as np

from recsys.fresh_items.extended_column import base
from recsys.generation.item_tables import POPULARITY_WINDOWS, ItemTables
from recsys.kernels import features as kernels
from recsys.kernels.columns import Rows
from recsys.kernels.compiled import plain
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
ROWS = np.array(
    Rows(
        tower=PLACE["tower"],
        tower_gap=PLACE["tower_gap"],
        covisit=PLACE[f"covisit_{COVISIT_DECAYS[0]}"],
        slowest=PLACE[f"covisit_{COVISIT_DECAYS[-1]}"],
        covisit_share=PLACE["covisit_share"],
        follow=PLACE[f"follow_{FOLLOW_DECAYS[0]}"],
        ease=PLACE[f"ease_{EASE_DECAYS[0]}"],
        slow=PLACE[f"ease_{EASE_DECAYS[-2]}"],
        likeness=PLACE["like_1"],
        popularity=PLACE["popularity_all"],
        decayed=PLACE["popularity_decayed"],
        momentum=PLACE["momentum"],
        age=PLACE["age"],
        affinity=PLACE["content_affinity"],
        repeats=PLACE["repeat_count"],
        told=PLACE["history_length"],
        lifts=PLACE["lift_daypart"],
        flags=PLACE[f"from_{RETRIEVED[0].name}"],
    )
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


def build(tables: ItemTables, histories: Histories, candidates: Candidates) -> F32:
    """Features of every candidate: [B, K, F] float32, zero for PAD."""
    return np.swapaxes(columns(tables, histories, candidates), 1, 2)


def columns(tables: ItemTables, histories: Histories, candidates: Candidates) -> F32:
    """The features with a row each, as the compiled net reads them: [B, F, K] float32."""
    items, past = plain(candidates.items), plain(histories.items)
    batch, room = items.shape
    x, counts = np.zeros((batch, len(FEATURES), room), np.float32), np.empty(batch, np.int64)
    order, to_log = np.empty((batch, len(RANKS), room), np.uint64), np.empty((batch, len(LOGGED), room), np.float32)
    kernels.begin(
        *(
            items,
            past,
            plain(histories.times),
            plain(histories.now),
            plain(candidates.tower),
            plain(candidates.sources),
        ),
        *(tables.covisit.rows, tables.covisit.weights, tables.follow.rows, tables.follow.weights),
        # Put items have no popularity and no age: 0 of both, as past the end of a table.
        *(tables.ease.rows, tables.ease.weights, base(tables.popularity), base(tables.age)),
        *(powers(COVISIT_DECAYS), powers(EASE_DECAYS), VOTE_SCALE, SOURCE_FLAGS, time_features.STEPS, LOG_PLACES),
        *(ROWS, LOGGED, x, counts, order, to_log),
    )
    np.log1p(to_log, out=to_log)
    order.sort(axis=2)
    embeddings, content, lift = tables.embedding_table, tables.content_table, tables.context_lift
    kernels.finish(
        *(items, past, plain(histories.context)),
        *(embeddings.base, content.base, content.late, embeddings.tail, content.tail, tables.vocabulary),
        *(lift.table, lift.starts, ALIKE_WITHIN, ALIKE, REPEAT_POWERS),
        *(time_features.HOURS_OF_A_PART, time_features.SATURDAY, CLOCK, LOG_PLACES, RANKS),
        *(ROWS, LOGGED, x, counts, order, to_log),
    )
    return x
