"""Inspect a tested model beside its metrics: count how the ranker's scores spread, and list the recommendations for
some test users.

Such an ordered list of recommended items is a slate.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recsys.types import F32, I32, PAD
from training.encode.interaction_log import Log
from training.encode.split import Split, by_cut
from training.judge.metric_table import K
from training.judge.ranking import Score, chunk_rows
from training.judge.replay import ReplayedModel
from training.results import BINS, Preview, Scores, Slate

QUERIES = 1_000
"""Queries whose scores are counted: two seconds of CPU, and a share of .1 has a standard error of .01."""

SLATES, TITLES = 10, 8
"""Users in a preview, and the newest titles of the history of each."""

EVEN = 1e-6
"""Scores closer than this count as the same: float32 keeps seven digits."""


class ScoreCounts:
    """Counts the spread of the scores of the first QUERIES queries, chunk by chunk."""

    def __init__(self) -> None:
        self._queries = self._even = self._broken = 0
        self._bars = np.zeros(BINS, np.int64)

    def add(self, scores: F32) -> None:
        """Count the scores of some queries [B, n], -inf for an item that is no candidate.

        A query without candidates, as of a user who has seen every item, is in no bar.
        """
        scores = scores[: QUERIES - self._queries]
        self._queries += len(scores)
        real = np.isfinite(scores)
        broken = np.isnan(scores).any(axis=1) | np.isposinf(scores).any(axis=1)
        sound = real.any(axis=1) & ~broken
        kept, candidate = scores[sound].astype(np.float64), real[sound]
        top = kept.max(axis=1, keepdims=True, initial=-np.inf)
        bottom = np.where(candidate, kept, np.inf).min(axis=1, initial=np.inf)
        even = (top[:, 0] - bottom < EVEN) & (candidate.sum(axis=1) > 1)
        mass = np.exp(kept - top)
        first = np.sort(mass, axis=1)[:, -K:].sum(axis=1) / mass.sum(axis=1)
        self._bars += np.bincount((first * BINS).astype(np.int64).clip(0, BINS - 1), minlength=BINS)
        self._even += int(even.sum())
        self._broken += int(broken.sum())

    @property
    def scores(self) -> Scores:
        """The counts so far."""
        return Scores(self._queries, tuple(self._bars.tolist()), self._even, self._broken)


def preview(parts: Split, served_at: Callable[[float], Score], seed: int = 0) -> Preview:
    """The spread of the scores over a sample of the test queries, and the slates of SLATES users among them.

    served_at: the served model over the item tables of a moment.
    """
    _, first = np.unique(parts.query, return_index=True)
    events = parts.test[np.random.default_rng(seed).permutation(first)[:QUERIES]]
    _, once = np.unique(parts.log.users[events], return_index=True)
    shown = np.isin(np.arange(len(events)), np.sort(once)[:SLATES])
    counts, slates = ScoreCounts(), list[Slate]()
    for cut, chunks in by_cut(parts.test_cuts(events), chunk_rows(len(parts.ranked))):
        served = served_at(cut)
        for chunk in chunks:
            histories, seen = parts.past(events[chunk])
            scores = served(histories)
            counts.add(scores)
            scores[:, ~parts.ranked] = -np.inf
            if parts.log.exclude_seen.excludes:
                scores[seen] = -np.inf
            for row in np.flatnonzero(shown[chunk]):
                slates.append(_slate(parts, events[chunk[row]], histories.items[row], scores[row]))
    return Preview(counts.scores, tuple(slates))


def score_spread(log: Log, model: ReplayedModel) -> Scores:
    """The spread of the scores of a model of every event, over a sample of its users after all their events."""
    users = np.random.default_rng(0).permutation(len(log.user_ids))[:QUERIES]
    counts, rows = ScoreCounts(), chunk_rows(len(model.generation.tables))
    for start in range(0, len(users), rows):
        histories = log.final_histories(users[start : start + rows])
        counts.add(model.scores(histories))
    return counts.scores


def _slate(parts: Split, event: int, history: I32, scores: F32) -> Slate:
    """The slate of one test query from the scores of the items that may be shown [n]."""
    log, known = parts.log, history[history != PAD]
    order = np.argsort(-scores, kind="stable")[:K]
    order = order[np.isfinite(scores[order])]
    query = parts.query[np.searchsorted(parts.test, event)]
    targets = log.items[parts.test[parts.query == query]]
    return Slate(
        user=str(log.user_ids[log.users[event]]),
        history=tuple(_title(log, item) for item in known[-TITLES:]),
        events=len(known),
        shown=tuple(_title(log, item) for item in order),
        targets=tuple(_title(log, item) for item in targets),
        hits=tuple(int(place) for place in np.flatnonzero(np.isin(order, targets))),
    )


def _title(log: Log, item: int) -> str:
    """An item's title, or its id where it has none."""
    return log.catalogue.titles[int(item)] or str(log.catalogue.ids[int(item)])
