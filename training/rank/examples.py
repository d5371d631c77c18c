"""Training examples of the ranker, the network that orders candidates: users' histories, the candidates retrieved for
each, and which of them the user took. The module also has the loss over them.

A query, one user at one moment, is an example if at least one item that the user took is among its candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from recsys.kernels.feature_kernels import FLAGS, RECENT
from recsys.model import features
from recsys.types import F32, I64, PAD, Bool
from training.config import RankerConfig
from training.encode.split import Split, by_cut
from training.fit.first_stage import FirstStage
from training.progress import StepProgress, no_step
from training.ranking_metrics import recall

CHUNK = 256
"""Queries whose candidates are retrieved at once."""

UNCOUNTED = 4
"""One example in so many, of the log and of slates, has no event counts, as in a deployment that gets no events, and
after the store lost its data: the ranker learns to rank without counts."""

UNDATED = 4
"""One label in so many reads the popularity and ages of the moment when the labels begin: items that came since have
none there, like an item that is put after the training. Without them the ranker orders such items by chance."""

TOP = 10
"""Cut-off of the recall that decides between orders of the candidates."""

MASKED = -1e9
"""The score of padding and of seen items; finite, so that its product with 0 is 0."""


@dataclass(frozen=True)
class Examples:
    """Q queries with K candidates each, F features of a candidate, and the answers.

    x: [Q, K, F] float32, features. answer: [Q, K] bool, items that the user took; of slates float32, their grades.
    real: [Q, K] bool, False at padding and at seen items. weight: [Q] float32, of each query. offset: [Q, K] float32,
    added to the scores in the loss alone; None adds nothing.
    """

    x: F32
    answer: Bool | F32
    real: Bool
    weight: F32
    offset: F32 | None = None

    def __len__(self) -> int:
        return len(self.x)

    def at(self, rows: np.ndarray) -> Examples:
        """Some of the queries."""
        offset = None if self.offset is None else self.offset[rows]
        return Examples(self.x[rows], self.answer[rows], self.real[rows], self.weight[rows], offset)

    def recall(self, scores: F32) -> float:
        """Weighted mean recall@TOP of the answers, the candidates ordered by `scores` [Q, K]; ties keep their order."""
        if not len(self):
            return 0.0
        order = np.argsort(-np.where(self.real, scores, -np.inf), axis=1, kind="stable")
        queries, places = np.nonzero(np.take_along_axis(self.answer, order, axis=1))
        return float(np.average(recall(places, queries, TOP), weights=self.weight))


def gather(
    parts: Split, stage: FirstStage, config: RankerConfig, rng: np.random.Generator, progress: StepProgress = no_step
) -> Examples:
    """The examples of `config.queries` label queries at most, with `config.candidates` candidates of each at most.

    stage: of the events before the labels. Its popularity and ages are counted again for each day of the labels.
    """
    queries = parts.label_queries()
    if len(queries) > config.queries:
        queries = [queries[at] for at in np.sort(rng.choice(len(queries), config.queries, replace=False))]
    chunks, done = [_none(features.width(stage.tables))], 0
    first = np.array([events[0] for events in queries], np.int64)
    cuts = parts.label_cuts(first)
    cuts[::UNDATED] = 0
    for cut, of_cut in by_cut(cuts, CHUNK):
        dated = stage.recounted(parts.known_to_labels(cut))
        for some in of_cut:
            chunks.append(_examples(parts, dated, [queries[at] for at in some], config.candidates, rng))
            done += len(some)
            progress(0.5 * done / len(queries), "candidates")  # the training is the other half
    width = max(chunk.x.shape[1] for chunk in chunks)
    x = np.concatenate([_padded(chunk.x, width) for chunk in chunks])
    x[rng.permutation(len(x))[::UNCOUNTED], :, RECENT:FLAGS] = 0
    return Examples(
        x,
        np.concatenate([_padded(chunk.answer, width) for chunk in chunks]),
        np.concatenate([_padded(chunk.real, width) for chunk in chunks]),
        np.concatenate([chunk.weight for chunk in chunks]),
    )


def _examples(parts: Split, stage: FirstStage, queries: list[I64], k: int, rng: np.random.Generator) -> Examples:
    histories, seen = parts.label_past(np.array([events[0] for events in queries]))
    candidates = stage.retriever.retrieve(histories)
    # A (query, item) pair as one number: query * n + item.
    n = len(stage.tables)
    owner = np.repeat(np.arange(len(queries)), [len(events) for events in queries])
    answers = owner * n + parts.before_test.items[np.concatenate(queries)]
    pairs = np.arange(len(queries))[:, None] * n + candidates.items
    real = candidates.items != PAD
    if parts.log.exclude_seen.excludes:
        # In serving, filters remove seen items from the slate whatever their scores: they are no wrong answers.
        real &= ~np.isin(pairs, seen[0] * n + seen[1])
    answer = np.isin(pairs, answers) & real
    some = answer.any(axis=1)
    weight = np.array([parts.before_test.grades[parts.before_test.first_touch[events]].max() for events in queries])
    histories, candidates, answer, real = histories.take(some), candidates.take(some), answer[some], real[some]
    # Keep the answers, then drawn candidates, then padding; in the order of the candidates.
    priority = rng.random(answer.shape, np.float32) - answer + 2 * ~real
    kept = np.sort(np.argsort(priority, axis=1, kind="stable")[:, :k], axis=1)
    x = features.build(stage.tables, histories, candidates, parts.before_test.recent_events)
    return Examples(
        np.take_along_axis(x, kept[..., None], axis=1),
        np.take_along_axis(answer, kept, axis=1),
        np.take_along_axis(real, kept, axis=1),
        weight[some],
    )


def listwise_loss(scores_QK: Tensor, answers_QK: Tensor, real_QK: Tensor, weights_Q: Tensor) -> Tensor:
    """Weighted mean cross entropy of each query's answers against all its candidates.

    answers_QK: the items that the user took, or their grades; they share the weight of the query. real_QK: False at
    masked candidates.
    """
    shares_QK = answers_QK / answers_QK.sum(1, keepdim=True)
    losses_Q = F.cross_entropy(scores_QK.masked_fill(~real_QK, MASKED), shares_QK, reduction="none")
    return (losses_Q * weights_Q).sum() / weights_Q.sum()


def _none(width: int) -> Examples:
    x = np.zeros((0, 1, width), np.float32)
    return Examples(x, np.zeros((0, 1), bool), np.zeros((0, 1), bool), np.zeros(0, np.float32))


def _padded(array: np.ndarray, width: int) -> np.ndarray:
    return np.pad(array, [(0, 0), (0, width - array.shape[1])] + [(0, 0)] * (array.ndim - 2))
