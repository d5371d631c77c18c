"""Fit the ranker listwise on candidates of a first stage whose towers and tables ended before the labels began."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recsys import features
from recsys.ranker import RankerNet
from recsys.types import F32, I64, PAD, Bool
from training.config import RankerConfig
from training.course import Course
from training.first_stage import FirstStage
from training.split import Split
from training.watch import Progress, no_progress

CHUNK = 256

ORDERS = ("popularity_decayed", "tower", "covisit_0.9")
"""Features that give an order by themselves, for where examples are too few; the first wins a tie."""


@dataclass(frozen=True)
class FittedRanker:
    """The net, and the one feature it orders by if nothing could teach it."""

    net: RankerNet
    order: str | None = None


@dataclass(frozen=True)
class Examples:
    """Queries with the answers among their candidates.

    x: [Q, K, F] float32. answer: [Q, K] bool, what the user went on to. real: [Q, K] bool, padding apart.
    """

    x: F32
    answer: Bool
    real: Bool

    def __len__(self) -> int:
        return len(self.x)


def fit_ranker(
    parts: Split, stage: FirstStage, config: RankerConfig, seed: int, progress: Progress = no_progress
) -> FittedRanker:
    """Train on the labels of `parts`: each query's answers against the other candidates that `stage` finds for it.

    Where fewer than `config.minimum` queries have an answer among theirs, the ranker orders by one feature.
    """
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    examples = gather(parts, stage, config, rng, lambda share, word: progress(share / 2, word))
    if len(examples) < config.minimum:
        order = best_order(examples)
        return FittedRanker(order_by(order), order)
    net = RankerNet()
    rows = examples.x[examples.real]
    net.mean.copy_(torch.from_numpy(rows.mean(axis=0)))
    # A column that never varied taught nothing, and says nothing should it vary one day.
    varied = rows.min(axis=0) < rows.max(axis=0)
    net.deviation.copy_(torch.from_numpy(np.where(varied, rows.std(axis=0) + 1e-3, np.inf)))
    steps = config.epochs * -(-len(examples) // config.batch)
    course = Course(net, config.learning_rate, 1e-3, steps, lambda share, word: progress(0.5 + share / 2, word))
    net.train()
    for _ in range(config.epochs):
        order_of_epoch = rng.permutation(len(examples))
        for start in range(0, len(examples), config.batch):
            course.step(_loss(net, examples, np.sort(order_of_epoch[start : start + config.batch])))
    return FittedRanker(net.eval())


def _loss(net: RankerNet, examples: Examples, rows: I64) -> Tensor:
    """Mean cross entropy of the answers, those of one query sharing its weight, against all its candidates."""
    answer = torch.from_numpy(examples.answer[rows])
    real = torch.from_numpy(examples.real[rows])
    scores = net(torch.from_numpy(examples.x[rows])).masked_fill(~real, -torch.inf)
    told = torch.log_softmax(scores, dim=1).masked_fill(~answer, 0.0)
    return -(told.sum(1) / answer.sum(1)).mean()


def gather(
    parts: Split, stage: FirstStage, config: RankerConfig, rng: np.random.Generator, progress: Progress = no_progress
) -> Examples:
    """Examples of the queries that have an answer among their candidates; a sample of `config.candidates` of each."""
    queries = parts.label_queries()
    if len(queries) > config.queries:
        queries = [queries[at] for at in np.sort(rng.choice(len(queries), config.queries, replace=False))]
    found = [_nothing()]
    for start in range(0, len(queries), CHUNK):
        found.append(_examples(parts, stage, queries[start : start + CHUNK], config.candidates, rng))
        progress(min(1.0, (start + CHUNK) / len(queries)), "candidates")
    width = max(part.x.shape[1] for part in found)
    return Examples(
        np.concatenate([_wide(part.x, width) for part in found]),
        np.concatenate([_wide(part.answer, width) for part in found]),
        np.concatenate([_wide(part.real, width) for part in found]),
    )


def _examples(parts: Split, stage: FirstStage, queries: list[I64], k: int, rng: np.random.Generator) -> Examples:
    histories = parts.label_past(np.array([events[0] for events in queries]))
    candidates = stage.retriever.retrieve(histories)
    # An item of one query among those of all: query * n + item.
    n = len(stage.tables)
    owner = np.repeat(np.arange(len(queries)), [len(events) for events in queries])
    wanted = owner * n + parts.before_test.items[np.concatenate(queries)]
    real = candidates.items != PAD
    answer = np.isin(np.arange(len(queries))[:, None] * n + candidates.items, wanted) & real
    some = answer.any(axis=1)
    histories, candidates, answer, real = histories.take(some), candidates.take(some), answer[some], real[some]
    # Answers first, then candidates by chance, padding last; kept in the order they had.
    lot = rng.random(answer.shape, np.float32) - answer + 2 * ~real
    kept = np.sort(np.argsort(lot, axis=1, kind="stable")[:, :k], axis=1)
    x = features.build(stage.tables, histories, candidates)
    return Examples(
        np.take_along_axis(x, kept[..., None], axis=1),
        np.take_along_axis(answer, kept, axis=1),
        np.take_along_axis(real, kept, axis=1),
    )


def _nothing() -> Examples:
    return Examples(
        np.zeros((0, 1, len(features.FEATURES)), np.float32), np.zeros((0, 1), bool), np.zeros((0, 1), bool)
    )


def _wide(array: np.ndarray, width: int) -> np.ndarray:
    return np.pad(array, [(0, 0), (0, width - array.shape[1])] + [(0, 0)] * (array.ndim - 2))


def best_order(examples: Examples) -> str:
    """Of the orders one feature gives, that which puts most answers among the first ten; popularity where none does."""
    hits = {}
    for name in ORDERS:
        scores = np.where(examples.real, examples.x[..., features.FEATURES.index(name)], -np.inf)
        rank = (scores[:, None, :] >= scores[:, :, None]).sum(axis=2)
        hits[name] = int((rank[examples.answer] <= 10).sum())
    return max(ORDERS, key=lambda name: hits[name])


@torch.no_grad()
def order_by(feature: str) -> RankerNet:
    """A ranker that nothing taught: it orders by one feature."""
    net = RankerNet()
    for parameter in net.parameters():
        parameter.zero_()
    column = features.FEATURES.index(feature)
    # The net clamps what it standardises at 5, and every one of ORDERS stays far below 5 * 10.
    net.deviation[column] = 10
    net.out.weight[0, column] = 1
    return net.eval()
