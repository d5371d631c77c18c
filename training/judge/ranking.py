"""Rank all items for each test query, by each model and baseline, and compute recall and NDCG of the items that the
user took.

A query is one user at one moment. A scorer is a function that gives every item a score: a model, a baseline or one
stage of a model. Nothing is sampled: every item that may be shown takes part. The figures of a scorer are a row of the
metric table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from recsys.types import F32, F64, I64, Bool, Histories
from training.encode.split import Split, by_cut
from training.judge.metric_table import (
    COVERAGE,
    METRICS,
    NDCG_AT,
    NEWEST,
    OF_TYPE,
    OVERALL,
    RECALL_AT,
    SE_DIFFERENCE,
    SERVED,
    K,
    Row,
    prefix_of,
)
from training.progress import StepProgress, no_step
from training.ranking_metrics import CELLS, mean_and_error, ndcg, places, recall, shown_items

CHUNK = 256
"""Queries ranked at once, at most."""

EVENTS = 1_000
"""Newest test events, at most, on which the gate scores the model to publish: two seconds of CPU on the demo's data,
and a recall of .12 has a standard error of .011."""

Score = Callable[[Histories], F32]
"""Returns the scores of every catalogue item for B histories: [B, n] float32, -inf where it can't recommend an item."""


@dataclass(frozen=True)
class SourceUnion:
    """A scorer of several candidate lists: minus the best place of an item in any list.

    Its recall@N is the recall of all lists together with N items each. It has no order, so NDCG does not apply.
    """

    score: Score


Scorers = Mapping[str, Score | SourceUnion]

ScorersAt = Callable[[float], Scorers]
"""The scorers over the item tables of a moment, one of `Split.cuts`."""


@dataclass(frozen=True)
class Ranking:
    """The result of one scorer. places: [T] int64, of each target. shown: [n] bool, items in the first K of a query.

    ordered: False for a SourceUnion.
    """

    places: I64
    shown: Bool
    ordered: bool


def chunk_rows(items: int) -> int:
    """Queries whose scores of `items` items are in memory at once."""
    return max(1, min(CHUNK, CELLS // max(items, 1)))


def metric_rows(parts: Split, scorers_at: ScorersAt, progress: StepProgress = no_step) -> dict[str, Row]:
    """The rows of an `Evaluation`: the metrics of each scorer over all test queries."""
    users, events = parts.log.users[parts.test], segments(parts)
    items = max(int(parts.ranked.sum()), 1)
    rows, ranked = {}, rank_targets(parts, scorers_at, progress)
    served = ranked[SERVED].places if SERVED in ranked else None
    for name, ranking in ranked.items():
        row = metric_row(ranking.places, parts.query, users, events, None if name == SERVED else served)
        row[COVERAGE] = round(int(ranking.shown.sum()) / items, 6)
        if not ranking.ordered:
            row |= {key: None for key in row if "ndcg" in key or key == COVERAGE}
        rows[name] = row
    return rows


def segments(parts: Split) -> dict[str, Bool]:
    """The test events of each segment: of target types by user and by item, and of each event type."""
    spec, log = parts.log.catalogue.spec, parts.log
    target = log.targets[parts.test]
    found = {"all": target, "warm": target & parts.warm, "cold": target & ~parts.warm, "new": target & parts.new}
    found[NEWEST] = newest_events(parts)
    if len(spec.event_types) > 1:
        found[OVERALL] = np.ones_like(target)
        for row, name in enumerate(spec.event_types):
            if spec.events.weight(name) > 0:
                found[f"{OF_TYPE}{name}"] = log.types[parts.test] == row
    return found


def newest_events(parts: Split) -> Bool:
    """The newest EVENTS test events of target types: [T] bool."""
    chosen = np.zeros(len(parts.test), bool)
    chosen[np.flatnonzero(parts.log.targets[parts.test])[-EVENTS:]] = True
    return chosen


def rank_targets(parts: Split, scorers_at: ScorersAt, progress: StepProgress = no_step) -> dict[str, Ranking]:
    """The place of each target by each scorer over the item tables of its query's cut.

    A target that would never be shown has the last place: a seen item (where seen items are left out), an item that is
    not available, and an item with a score of -inf.
    """
    ranked, done = dict[str, Ranking](), 0
    _, first = np.unique(parts.query, return_index=True)
    for cut, chunks in by_cut(parts.test_cuts(parts.test[first]), chunk_rows(len(parts.ranked))):
        scorers = scorers_at(cut)
        for queries in chunks:
            _rank(parts, scorers, queries, ranked)
            done += len(queries)
            progress(done / len(first), f"{done:,} queries")
    return ranked


def _rank(parts: Split, scorers: Scorers, queries: I64, ranked: dict[str, Ranking]) -> None:
    """Set the places of the targets of some queries, ascending."""
    targets = np.flatnonzero(np.isin(parts.query, queries))
    owner, items = np.searchsorted(queries, parts.query[targets]), parts.log.items[parts.test[targets]]
    _, first = np.unique(owner, return_index=True)
    histories, seen = parts.past(parts.test[targets[first]])
    hidden = np.tile(~parts.ranked, (len(histories), 1))
    if parts.log.exclude_seen.excludes:
        hidden[seen] = True
    for name, scorer in scorers.items():
        union = isinstance(scorer, SourceUnion)
        if name not in ranked:
            nothing = np.empty(len(parts.test), np.int64), np.zeros_like(parts.ranked)
            ranked[name] = Ranking(*nothing, ordered=not union)
        if isinstance(scorer, SourceUnion):
            place = -np.where(hidden, np.float32(-np.inf), scorer.score(histories))[owner, items]
            ranked[name].places[targets] = np.minimum(place, len(parts.ranked))
            continue
        scores = np.where(hidden, np.float32(-np.inf), scorer(histories))
        ranked[name].places[targets] = places(scores, owner, items)
        ranked[name].shown[shown_items(scores, K)] = True


def metric_row(
    places: I64, queries: I64, users: np.ndarray, segments: Mapping[str, Bool], served: I64 | None = None
) -> Row:
    """One row of the table from the place, the query and the user of each target [T], and each segment's mask [T].

    served: [T], the places by the served model. With them the row has the standard errors of the differences to it.
    """
    row: Row = {}
    for segment, chosen in segments.items():
        prefix = prefix_of(segment)
        _, first, query = np.unique(queries[chosen], return_index=True, return_inverse=True)
        of_queries = users[chosen][first]
        row[f"{prefix}queries"] = len(first)
        values = _of_queries(places[chosen], query)
        for metric, each in values.items():
            row[prefix + metric], row[f"{prefix}se_{metric}"] = mean_and_error(each, of_queries)
        if served is not None:
            theirs = _of_queries(served[chosen], query)
            for metric in METRICS:
                _, error = mean_and_error(theirs[metric] - values[metric], of_queries)
                row[f"{prefix}{SE_DIFFERENCE}{metric}"] = error
    return row


def _of_queries(places: I64, query: I64) -> dict[str, F64]:
    """Each metric of each query, from the place and the query of each target."""
    values = {f"recall@{k}": recall(places, query, k) for k in RECALL_AT}
    return values | {f"ndcg@{k}": ndcg(places, query, k) for k in NDCG_AT}
