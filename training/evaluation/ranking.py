"""How good are the recommendations: every item ranked, nothing sampled, ties against us.

Knows scores and ranks; how a model comes by its scores is the scorer's business. A row of a table is a scorer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from recsys.types import F32, F64, I64, Bool, Histories
from training.evaluation.metric_table import COVERAGE, NDCG_AT, OF_TYPE, OVERALL, RECALL_AT, K, Row, prefix_of
from training.evaluation.split import Split
from training.progress import Progress, no_progress

CELLS = 1 << 24
"""Scores held at once: 64 MiB of float32, whatever the catalogue."""

CHUNK = 256

Score = Callable[[Histories], F32]
"""Scores of every catalogue item for B histories: [B, n] float32, -inf for an item the model can't recommend."""


@dataclass(frozen=True)
class Reach:
    """A scorer of several lists at once: minus the best place that any of them gives an item.

    Its recall@N is what all lists hold when each is asked for N items. It has no order of its own to rate.
    """

    score: Score


@dataclass(frozen=True)
class Ranked:
    """What a scorer did with a test: places: [T] int64, of each target. shown: [n] bool, items in someone's first K."""

    places: I64
    shown: Bool


def evaluate(parts: Split, scorers: Mapping[str, Score | Reach], progress: Progress = no_progress) -> dict[str, Row]:
    """The rows of an Evaluation: every scorer asked every query of the test."""
    ranked = rank_targets(parts, scorers, progress)
    users = parts.log.users[parts.test]
    events = segments(parts)
    shown = max(int(parts.ranked.sum()), 1)
    rows = {
        name: measure(each.places, parts.query, users, events) | {COVERAGE: round(int(each.shown.sum()) / shown, 6)}
        for name, each in ranked.items()
    }
    for name, scorer in scorers.items():
        if isinstance(scorer, Reach):
            rows[name].update({key: None for key in rows[name] if "ndcg" in key or key == COVERAGE})
    return rows


def segments(parts: Split) -> dict[str, Bool]:
    """The test events of each segment: those of target types, by user and by item, and all of them by event type."""
    spec, log = parts.log.catalogue.spec, parts.log
    wanted = log.targets[parts.test]
    found = {"all": wanted, "warm": wanted & parts.warm, "cold": wanted & ~parts.warm, "new": wanted & parts.new}
    if len(spec.event_types) > 1:
        found[OVERALL] = np.ones_like(wanted)
        for row, name in enumerate(spec.event_types):
            if spec.events.weight(name) > 0:
                found[f"{OF_TYPE}{name}"] = log.types[parts.test] == row
    return found


def rank_targets(
    parts: Split, scorers: Mapping[str, Score | Reach], progress: Progress = no_progress
) -> dict[str, Ranked]:
    """Where each scorer puts each target, best 0: the items that score as high or higher.

    An item that the user had seen (where those are left out), that is not available or that scores -inf is placed
    last: it would never have been shown.
    """
    available = parts.ranked
    rows = max(1, min(CHUNK, CELLS // max(len(available), 1)))
    ranked = {name: Ranked(np.empty(len(parts.test), np.int64), np.zeros_like(available)) for name in scorers}
    by_query = np.argsort(parts.query, kind="stable")
    starts = np.flatnonzero(np.diff(parts.query[by_query], prepend=-1))
    ends = np.append(starts[1:], len(by_query))
    for first in range(0, len(starts), rows):
        asked = slice(first, first + rows)
        targets = by_query[starts[first] : ends[asked][-1]]
        histories, seen = parts.past(parts.test[by_query[starts[asked]]])
        hidden = np.tile(~available, (len(histories), 1))
        if parts.log.exclude_seen.excludes:
            hidden[seen] = True
        wanted, owner = parts.log.items[parts.test[targets]], parts.query[targets] - first
        for name, scorer in scorers.items():
            if isinstance(scorer, Reach):
                place = -np.where(hidden, np.float32(-np.inf), scorer.score(histories))[owner, wanted]
                ranked[name].places[targets] = np.minimum(place, len(available))
                continue
            scores = np.where(hidden, np.float32(-np.inf), scorer(histories))
            ranked[name].places[targets] = places(scores, owner, wanted)
            ranked[name].shown[slates(scores)] = True
        progress(min(1.0, (first + rows) / len(starts)), f"{min(first + rows, len(starts)):,} queries")
    return ranked


def places(scores: F32, owner: I64, targets: np.ndarray) -> I64:
    """Items that score at least as high as each target for its owner, the target apart: [T] int64.

    scores: [B, n], -inf for what is not shown. owner, targets: [T] rows of it and items.
    """
    placed = np.empty(len(targets), np.int64)
    for start in range(0, len(targets), len(scores)):
        chunk = slice(start, start + len(scores))
        target = scores[owner[chunk], targets[chunk]][:, None]
        ahead = (scores[owner[chunk]] >= target).sum(axis=1) - 1
        placed[chunk] = np.where(np.isfinite(target[:, 0]), ahead, scores.shape[1])
    return placed


def slates(scores: F32) -> I64:
    """The items that are among the first K of some row: [S] int64."""
    best = torch.topk(torch.from_numpy(scores), min(K, scores.shape[1]), dim=1)
    shown: I64 = best.indices[torch.isfinite(best.values)].unique().numpy()
    return shown


def measure(ranks: I64, query: I64, users: np.ndarray, segments: Mapping[str, Bool]) -> Row:
    """One row of the table from the place of each target: [T], as the query, the user and each segment's mask."""
    row: Row = {}
    for segment, chosen in segments.items():
        prefix = prefix_of(segment)
        _, first, group = np.unique(query[chosen], return_index=True, return_inverse=True)
        asking = users[chosen][first]
        row[f"{prefix}queries"] = len(first)
        for metric, values in _per_query(ranks[chosen], group, len(first)).items():
            row[prefix + metric], row[f"{prefix}se_{metric}"] = _mean(values, asking)
    return row


def _per_query(ranks: I64, query: I64, queries: int) -> dict[str, F64]:
    """Each metric of each query: [Q] float64, of 1 at most however many targets a query has.

    Recall@k: targets among the first k, of the k or fewer that there could be. NDCG@k: discounts 1/log2(place + 2)
    of those, of the sum there could be.
    """
    targets = np.bincount(query, minlength=queries)
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(max(NDCG_AT)) + 2))])
    values = {}
    for k in RECALL_AT:
        values[f"recall@{k}"] = np.bincount(query, ranks < k, minlength=queries) / np.minimum(targets, k)
    for k in NDCG_AT:
        gain = (ranks < k) / np.log2(ranks + 2)
        values[f"ndcg@{k}"] = np.bincount(query, gain, minlength=queries) / ideal[np.minimum(targets, k)]
    return values


def _mean(values: np.ndarray, users: np.ndarray) -> tuple[float | None, float | None]:
    """Mean and its standard error, queries of one user counted as dependent."""
    if not len(values):
        return None, None
    mean = float(values.mean())
    _, cluster = np.unique(users, return_inverse=True)
    deviation = np.bincount(cluster, values - mean)
    return round(mean, 6), round(float(np.sqrt((deviation**2).sum()) / len(values)), 6)
