"""How good are the recommendations: every item ranked, nothing sampled, ties against us.

Knows scores and ranks; how a model comes by its scores is the scorer's business. A row of a table is a scorer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from recsys.ranker import Ranker
from recsys.retriever import Retriever
from recsys.types import F32, HISTORY_LENGTH, I64, PAD, Bool, Histories
from training.baselines import Ease, popularity, recency_popularity
from training.evaluation import METRICS, SEGMENTS, SERVED, K, Row, prefix_of
from training.first_stage import FirstStage
from training.log import Log
from training.split import Split
from training.watch import Progress, no_progress

CELLS = 1 << 24
"""Scores held at once: 64 MiB of float32, whatever the catalogue."""

CHUNK = 256
EASE_REGULARIZATION = 100.0
"""Of 30, 100 and 300 the best on MovieTweetings."""

Score = Callable[[Histories], F32]
"""Scores of every catalogue item for B histories: [B, n] float32, -inf for an item the model can't recommend."""


def rolling(split: Split, stage: FirstStage, ranker: Ranker, progress: Progress = no_progress) -> dict[str, Row]:
    """Rank the next item of every test event, all models frozen at the test's start: the rows of an Evaluation."""
    known, embeddings = split.before_test, stage.tables.embeddings
    scorers: dict[str, Score] = {
        "popularity": same_for_all(popularity(known)),
        "recency_popularity": same_for_all(recency_popularity(known)),
        "ease_decay": Ease(known, EASE_REGULARIZATION, minimum=2).score,
        "tower": lambda histories: stage.encoder.encode(histories.items) @ embeddings.T,
        SERVED: lambda histories: two_stage(histories, stage.retriever, ranker, len(embeddings)),
    }
    ranks = rank_targets(split.log, split.test, scorers, stage.tables.available, stage.exclude_seen, progress)
    users = split.log.users[split.test]
    return {name: measure(ranked, users, split.warm) for name, ranked in ranks.items()}


def same_for_all(scores: F32) -> Score:
    """A scorer that knows no users."""
    return lambda histories: np.tile(scores, (len(histories), 1))


def two_stage(histories: Histories, retriever: Retriever, ranker: Ranker, n_items: int) -> F32:
    """The ranker's scores of what retrieval found, -inf elsewhere: [B, n] float32."""
    candidates = retriever.retrieve(histories)
    users, places = np.nonzero(candidates.items != PAD)
    scores = np.full((len(histories), n_items), -np.inf, np.float32)
    scores[users, candidates.items[users, places]] = ranker.score(histories, candidates)[users, places]
    return scores


def rank_targets(
    log: Log,
    events: I64,
    scorers: Mapping[str, Score],
    available: Bool,
    exclude_seen: bool,
    progress: Progress = no_progress,
) -> dict[str, I64]:
    """The place of each event's item under each scorer, best 0: the items that score as high or higher.

    An item that the user had seen (where those are left out), that is not available or that scores -inf is placed
    last: it would never have been shown.
    """
    rows = max(1, min(CHUNK, CELLS // max(len(available), 1)))
    ranks = {name: np.empty(len(events), np.int64) for name in scorers}
    for start in range(0, len(events), rows):
        chunk = events[start : start + rows]
        histories = log.histories(chunk, HISTORY_LENGTH)
        hidden = np.broadcast_to(~available, (len(chunk), len(available)))
        if exclude_seen:
            hidden = hidden.copy()
            hidden[log.seen_before(chunk)] = True
        for name, score in scorers.items():
            ranks[name][start : start + rows] = places(score(histories), log.items[chunk], hidden)
        progress(min(1.0, (start + rows) / len(events)), f"{min(start + rows, len(events)):,} queries")
    return ranks


def places(scores: F32, targets: np.ndarray, hidden: Bool) -> I64:
    """Items that are not hidden and score at least as high as the target, the target apart: [B] int64."""
    scores = np.where(hidden, -np.inf, scores)
    target = scores[np.arange(len(scores)), targets][:, None]
    ahead = (scores >= target).sum(axis=1) - 1
    placed: I64 = np.where(np.isfinite(target[:, 0]), ahead, scores.shape[1])
    return placed


def measure(ranks: I64, users: np.ndarray, warm: Bool) -> Row:
    """One row of the table from the place of each target."""
    hit = ranks < K
    values = {METRICS[0]: hit.astype(np.float64), METRICS[1]: hit / np.log2(np.minimum(ranks, K) + 2)}
    row: Row = {}
    for segment, chosen in zip(SEGMENTS, (np.ones_like(warm), warm, ~warm), strict=True):
        prefix = prefix_of(segment)
        row[f"{prefix}queries"] = int(chosen.sum())
        for metric, value in values.items():
            mean, error = _mean(value[chosen], users[chosen])
            row[prefix + metric], row[f"{prefix}se_{metric}"] = mean, error
    return row


def _mean(values: np.ndarray, users: np.ndarray) -> tuple[float | None, float | None]:
    """Mean and its standard error, queries of one user counted as dependent."""
    if not len(values):
        return None, None
    mean = float(values.mean())
    _, cluster = np.unique(users, return_inverse=True)
    deviation = np.bincount(cluster, values - mean)
    return round(mean, 6), round(float(np.sqrt((deviation**2).sum()) / len(values)), 6)
