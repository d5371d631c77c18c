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
from recsys.kernels import columns as kernels
from recsys.kernels.compiled import plain
from recsys.kernels.keys import descending
from recsys.tables import POPULARITY_WINDOWS, ItemTables
from recsys.types import CANDIDATES, CLOCK, F32, HISTORY_LENGTH, I32, PAD, Candidates, Histories, Source

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
    *(f"from_{flag.names()[0]}" for flag in FLAGS),
)
"""Names of the columns that `build` returns, in order."""


PLACE = {name: index for index, name in enumerate(FEATURES)}


def build(tables: ItemTables, histories: Histories, candidates: Candidates) -> F32:
    """Features of every candidate: [B, K, F] float32, zero where the candidate is PAD."""
    return np.swapaxes(columns(tables, histories, candidates), 1, 2)


def columns(tables: ItemTables, histories: Histories, candidates: Candidates) -> F32:
    """The same with a row a feature, as it is made and as the net reads it: [B, F, K] float32."""
    items, past = plain(candidates.items), plain(histories.items)
    counts = (items != PAD).sum(axis=1)  # padded on the right
    x = np.zeros((len(items), len(FEATURES), items.shape[1]), np.float32)
    real = np.arange(items.shape[1]) < counts[:, None]

    tower = np.where(real, candidates.tower, -np.inf)
    x[:, PLACE["tower"]] = candidates.tower
    x[:, PLACE["tower_gap"]] = candidates.tower - tower.max(axis=1, initial=-np.inf)[:, None]
    _rank(tower, x[:, PLACE["tower_rank"]])
    for name, table, decays in (
        ("covisit", tables.covisit, COVISIT_DECAYS),
        ("follow", tables.follow, FOLLOW_DECAYS),
        ("ease", tables.ease, EASE_DECAYS),
    ):
        x[:, _span(f"{name}_{decays[0]}", len(decays))] = table.votes(past, items, counts, decays)
    covisit, ease = x[:, _span("covisit_0.0", len(COVISIT_DECAYS))], x[:, PLACE[f"ease_{EASE_DECAYS[-2]}"]]
    covisit *= VOTE_SCALE
    slowest = covisit[:, -1]
    x[:, PLACE["covisit_share"]] = slowest / np.maximum(slowest.max(axis=1, initial=0), np.float32(1e-6))[:, None]
    _rank(np.where(real, slowest, -1), x[:, PLACE["covisit_rank"]])
    _rank(np.where(real, ease, -np.inf), x[:, PLACE["ease_rank"]])
    np.log1p(covisit, out=covisit)
    follow = x[:, _span("follow_0.0", len(FOLLOW_DECAYS))]
    np.log1p(np.multiply(follow, VOTE_SCALE, out=follow), out=follow)

    alike = _likeness(tables, past, items)
    x[:, _span("like_1", ALIKE)] = alike[:, :ALIKE]
    likest = np.zeros((len(items), 2, items.shape[1]), np.float32)
    kernels.likest(alike, counts, likest)
    x[:, _span("like_best", 2)] = likest

    popularity = x[:, _span("popularity_all", len(POPULARITY_WINDOWS))]
    popularity[:] = np.swapaxes(tables.popularity[items], 1, 2)
    np.log1p(popularity, out=popularity)
    _rank(np.where(real, popularity[:, -1], -1), x[:, PLACE["popularity_rank"]])
    x[:, PLACE["momentum"]] = popularity[:, 2] - popularity[:, 1]
    x[:, PLACE["age"]] = np.log1p(tables.age[items])

    told, content = tables.content[past] * (past != PAD)[..., None], tables.content[items]
    for name, of in (("content_affinity", told), ("last_content_affinity", told[:, -1:])):
        covered = np.zeros(items.shape, np.float32)
        kernels.affinity(plain(of), plain(content), tables.vocabulary, counts, covered)
        x[:, PLACE[name]] = covered
    repeated = np.zeros((len(items), 2, items.shape[1]), np.float32)
    kernels.repeats(past, REPEAT_POWERS[: past.shape[1]], items, counts, repeated)
    x[:, _span("repeat_count", 2)] = repeated

    x[:, PLACE["history_length"]] = np.log1p((past != PAD).sum(axis=1, dtype=np.float32))[:, None]
    x[:, PLACE["wait"]] = (moments.waits(histories) / moments.STEPS)[:, None]
    x[:, PLACE["gap"]] = (moments.gaps(histories)[:, -1] / moments.STEPS)[:, None]
    x[:, _span("lift_daypart", CLOCK + 1)] = tables.context_lift.of(histories.context, items, counts)
    for index, flag in enumerate(FLAGS, PLACE[f"from_{FLAGS[0].names()[0]}"]):
        x[:, index] = (candidates.sources & flag) != 0
    np.copyto(x, 0, where=~real[:, None, :])
    return x


def _span(first: str, count: int) -> slice:
    """The rows of so many features that stand together."""
    return slice(PLACE[first], PLACE[first] + count)


def _rank(scores: F32, out: F32) -> None:
    """Log of one more than the place of each of scores [B, K], best first; equal scores in their order."""
    np.put_along_axis(out, descending(scores), np.broadcast_to(LOG_PLACES[: scores.shape[1]], scores.shape), axis=1)


def _likeness(tables: ItemTables, past: I32, items: I32) -> F32:
    """Inner products with the newest ALIKE_WITHIN history items, newest first, 0 where there is none: [B, 20, K]."""
    recent = np.full((len(past), ALIKE_WITHIN), PAD, np.int32)
    recent[:, : past.shape[1]] = past[:, ::-1][:, :ALIKE_WITHIN]
    newest = tables.embeddings[recent] * (recent != PAD)[..., None]
    # Padded to one shape: what a matrix product adds up first depends on its shape, and bits must not.
    wide = np.zeros((max(CANDIDATES, items.shape[1]), newest.shape[2]), np.float32)
    alike = np.empty((len(past), ALIKE_WITHIN, items.shape[1]), np.float32)
    for query in range(len(past)):
        wide[: items.shape[1]] = tables.embeddings[items[query]]
        alike[query] = (newest[query] @ wide.T)[:, : items.shape[1]]
    return alike
