"""Look at a tested model as the metrics can't: how sure its ranker is, and what some users would have been shown."""

from __future__ import annotations

import numpy as np

from recsys.model.ranker import Ranker
from recsys.types import F32, I32, I64, PAD
from training.data.interaction_log import Log
from training.evaluation.metric_table import K
from training.evaluation.preview import BINS, Glimpse, Scores, Slate
from training.evaluation.ranking import CELLS, CHUNK
from training.evaluation.scorers import two_stage
from training.evaluation.split import Split
from training.first_stage import FirstStage

QUERIES = 1_000
"""Test queries whose scores are counted: two seconds, and a share of .1 is known to .01."""

SLATES, TITLES = 10, 8
"""Users shown, and the newest titles of each one's history."""

EVEN = 1e-6
"""Scores closer than this to each other say nothing: float32 keeps seven digits."""


def look(parts: Split, stage: FirstStage, ranker: Ranker, seed: int = 0) -> Glimpse:
    """The spread of scores over a seeded sample of the test's queries, and the slates of ten users among them."""
    _, first = np.unique(parts.query, return_index=True)
    events = parts.test[np.random.default_rng(seed).permutation(first)[:QUERIES]]
    _, once = np.unique(parts.log.users[events], return_index=True)
    shown = np.isin(np.arange(len(events)), np.sort(once)[:SLATES])
    counts, slates = np.zeros(BINS + 2, np.int64), list[Slate]()
    rows = max(1, min(CHUNK, CELLS // max(len(stage.tables), 1)))
    for start in range(0, len(events), rows):
        chunk = slice(start, start + rows)
        histories, seen = parts.past(events[chunk])
        scores = two_stage(histories, stage.retriever, ranker, len(stage.tables))
        counts += count(scores)
        scores[:, ~parts.ranked] = -np.inf
        if parts.log.exclude_seen.excludes:
            scores[seen] = -np.inf
        slates += [
            read_slate(
                parts, events[start + row], histories.items[row], int((histories.items[row] != PAD).sum()), scores[row]
            )
            for row in np.flatnonzero(shown[chunk])
        ]
    return Glimpse(scores_of(len(events), counts), tuple(slates))


def look_again(log: Log, stage: FirstStage, ranker: Ranker) -> Scores:
    """The spread of the scores of a model that knows every event, over a seeded sample of its users as they stand."""
    users = np.random.default_rng(0).permutation(len(log.user_ids))[:QUERIES]
    counts = np.zeros(BINS + 2, np.int64)
    rows = max(1, min(CHUNK, CELLS // max(len(stage.tables), 1)))
    for start in range(0, len(users), rows):
        histories = log.final_histories(users[start : start + rows])
        counts += count(two_stage(histories, stage.retriever, ranker, len(stage.tables)))
    return scores_of(len(users), counts)


def scores_of(queries: int, counts: I64) -> Scores:
    """The sum of what `count` returned, as a value."""
    *spread, even, broken = (int(n) for n in counts)
    return Scores(queries, tuple(spread), even, broken)


def count(scores: F32) -> I64:
    """Queries in each bar of the histogram, then those with even scores, then those with broken ones: [BINS + 2].

    scores: [B, n] float32, -inf for what is no candidate. A query without candidates, as of a user who has had
    everything, counts nowhere.
    """
    real = np.isfinite(scores)
    broken = np.isnan(scores).any(axis=1) | np.isposinf(scores).any(axis=1)
    sound = real.any(axis=1) & ~broken
    kept, where = scores[sound].astype(np.float64), real[sound]
    top = kept.max(axis=1, keepdims=True, initial=-np.inf)
    bottom = np.where(where, kept, np.inf).min(axis=1, initial=np.inf)
    even = (top[:, 0] - bottom < EVEN) & (where.sum(axis=1) > 1)
    mass = np.exp(kept - top)
    first = np.sort(mass, axis=1)[:, -K:].sum(axis=1) / mass.sum(axis=1)
    bars = np.bincount((first * BINS).astype(np.int64).clip(0, BINS - 1), minlength=BINS)
    return np.concatenate([bars, [even.sum(), broken.sum()]]).astype(np.int64)


def read_slate(parts: Split, event: int, history: I32, events: int, scores: F32) -> Slate:
    """One query's slate from the scores of what may be shown [n], in the names a person knows."""
    log = parts.log
    order = np.argsort(-scores, kind="stable")[:K]
    order = order[np.isfinite(scores[order])]
    asked = parts.query[np.searchsorted(parts.test, event)]
    targets = log.items[parts.test[parts.query == asked]]
    return Slate(
        user=str(log.user_ids[log.users[event]]),
        history=tuple(name(log, item) for item in history[history != PAD][-TITLES:]),
        events=events,
        shown=tuple(name(log, item) for item in order),
        targets=tuple(name(log, item) for item in targets),
        hits=tuple(int(place) for place in np.flatnonzero(np.isin(order, targets))),
    )


def name(log: Log, item: int) -> str:
    """An item's title, or its id where it has none."""
    return log.catalogue.titles[int(item)] or str(log.catalogue.ids[int(item)])
