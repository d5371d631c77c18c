"""Fit the ranker listwise on candidates of a first stage whose towers and tables ended before the labels began."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import OneCycleLR

from recsys.model import features
from recsys.model.ranker import RankerNet
from recsys.types import I64, PAD
from training.config import RankerConfig
from training.device import CPU, mixed_precision
from training.evaluation.split import Split
from training.first_stage import FirstStage
from training.progress import Progress, no_progress
from training.ranker.simple_orders import FITTED, ORDERS, Examples, best_order, fit_order, found, order_by
from training.towers.loss import listwise_loss

CHUNK = 256

FEWEST = 50
"""Examples below which no weights are fitted: each half of fewer would say little of the other."""


@dataclass(frozen=True)
class FittedRanker:
    """The net, the simple order that it is if no examples could teach it better, and how many of them there were."""

    net: RankerNet
    order: str | None = None
    examples: int = 0


def fit_ranker(
    parts: Split,
    stage: FirstStage,
    config: RankerConfig,
    seed: int,
    progress: Progress = no_progress,
    device: torch.device = CPU,
) -> FittedRanker:
    """Train on the labels of `parts`: each query's answers against the other candidates that `stage` finds for it.

    The net trains on `device` and is returned on the CPU.

    Where fewer than `config.minimum` queries have an answer among theirs, or fewer than `config.doubtful` and those
    teach a ranker that finds no more of what it was not taught than a simple order does, that order is the ranker.
    """
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    examples = gather(parts, stage, config, rng, lambda share, word: progress(share / 2, word))
    if len(examples) < max(config.minimum, config.doubtful):
        order, weights, share = _simple_order(examples)
        if len(examples) < config.minimum or share >= _found_untaught(
            examples, lambda part: _trained(part, config, rng, device)
        ):
            return FittedRanker(order_by(weights), order, len(examples))
    net = _trained(examples, config, rng, device, lambda share, word: progress(0.5 + share / 2, word))
    return FittedRanker(net, None, len(examples))


def _simple_order(examples: Examples) -> tuple[str, dict[str, float], float]:
    """The order that finds most without a ranker, stated or fitted: its name, its weights and what it finds."""
    name, share = best_order(examples)
    if len(examples) >= FEWEST:
        fitted = _found_untaught(examples, lambda part: order_by(fit_order(part)))
        if fitted > share:
            return FITTED, fit_order(examples), fitted
    return name, ORDERS[name], share


def _found_untaught(examples: Examples, teach: Callable[[Examples], RankerNet]) -> float:
    """Share of the answers that rankers find in the half of the examples that did not teach them."""
    half = np.arange(len(examples)) % 2 == 0
    scores = np.zeros(examples.real.shape, np.float32)
    for mine in (half, ~half):
        net = teach(examples.at(mine))
        with torch.inference_mode():
            scores[~mine] = net(torch.from_numpy(examples.x[~mine])).numpy()
    return found(examples, scores)


def _trained(
    examples: Examples,
    config: RankerConfig,
    rng: np.random.Generator,
    device: torch.device,
    progress: Progress = no_progress,
) -> RankerNet:
    net = _standardised(examples).to(device).train()
    steps = config.epochs * -(-len(examples) // config.batch)
    optimizer = torch.optim.AdamW(net.parameters(), config.learning_rate, weight_decay=1e-3, fused=True)
    # The warm-up divides by a tenth of the steps less one.
    schedule = OneCycleLR(optimizer, config.learning_rate, max(steps, 11), pct_start=0.1)
    losses: list[float] = []
    for _ in range(config.epochs):
        order = rng.permutation(len(examples))
        for start in range(0, len(examples), config.batch):
            optimizer.zero_grad()
            loss = _loss(net, examples, np.sort(order[start : start + config.batch]), device)
            loss.backward()
            clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
            progress(len(losses) / steps, f"loss {np.mean(losses[-50:]):.3f}")
    return net.cpu().eval()


def _standardised(examples: Examples) -> RankerNet:
    """A net with new weights and the mean and deviation of the features of these examples."""
    net = RankerNet()
    rows = examples.x[examples.real]
    net.mean.copy_(torch.from_numpy(rows.mean(axis=0)))
    # A column that is constant here trains no weight, so its value is ignored should it vary later.
    varied = rows.min(axis=0) < rows.max(axis=0)
    net.deviation.copy_(torch.from_numpy(np.where(varied, rows.std(axis=0) + 1e-3, np.inf)))
    return net


def _loss(net: RankerNet, examples: Examples, rows: I64, device: torch.device) -> Tensor:
    part = examples.at(rows)
    x, answer, real, weight = (
        torch.from_numpy(array).to(device) for array in (part.x, part.answer, part.real, part.weight)
    )
    with mixed_precision(device):
        scores = net(x)
    return listwise_loss(scores.float(), answer, real, weight)


def gather(
    parts: Split, stage: FirstStage, config: RankerConfig, rng: np.random.Generator, progress: Progress = no_progress
) -> Examples:
    """Examples of the queries that have an answer among their candidates; a sample of `config.candidates` of each."""
    queries = parts.label_queries()
    if len(queries) > config.queries:
        queries = [queries[at] for at in np.sort(rng.choice(len(queries), config.queries, replace=False))]
    gathered = [_nothing()]
    for start in range(0, len(queries), CHUNK):
        gathered.append(_examples(parts, stage, queries[start : start + CHUNK], config.candidates, rng))
        progress(min(1.0, (start + CHUNK) / len(queries)), "candidates")
    width = max(part.x.shape[1] for part in gathered)
    return Examples(
        np.concatenate([_wide(part.x, width) for part in gathered]),
        np.concatenate([_wide(part.answer, width) for part in gathered]),
        np.concatenate([_wide(part.real, width) for part in gathered]),
        np.concatenate([part.weight for part in gathered]),
    )


def _examples(parts: Split, stage: FirstStage, queries: list[I64], k: int, rng: np.random.Generator) -> Examples:
    histories, seen = parts.label_past(np.array([events[0] for events in queries]))
    candidates = stage.retriever.retrieve(histories)
    # An item of one query among those of all: query * n + item.
    n = len(stage.tables)
    owner = np.repeat(np.arange(len(queries)), [len(events) for events in queries])
    wanted = owner * n + parts.before_test.items[np.concatenate(queries)]
    keys = np.arange(len(queries))[:, None] * n + candidates.items
    real = candidates.items != PAD
    if parts.log.exclude_seen.excludes:
        # Filters take them out of the slate, so whatever their scores, they are no wrong answers to learn from.
        real &= ~np.isin(keys, seen[0] * n + seen[1])
    answer = np.isin(keys, wanted) & real
    some = answer.any(axis=1)
    weight = np.array([parts.before_test.grades[parts.before_test.first_touch[events]].max() for events in queries])
    histories, candidates, answer, real = histories.take(some), candidates.take(some), answer[some], real[some]
    # Answers first, then candidates by chance, padding last; kept in the order they had.
    lot = rng.random(answer.shape, np.float32) - answer + 2 * ~real
    kept = np.sort(np.argsort(lot, axis=1, kind="stable")[:, :k], axis=1)
    x = features.build(stage.tables, histories, candidates)
    return Examples(
        np.take_along_axis(x, kept[..., None], axis=1),
        np.take_along_axis(answer, kept, axis=1),
        np.take_along_axis(real, kept, axis=1),
        weight[some],
    )


def _nothing() -> Examples:
    return Examples(
        np.zeros((0, 1, len(features.FEATURES)), np.float32),
        np.zeros((0, 1), bool),
        np.zeros((0, 1), bool),
        np.zeros(0, np.float32),
    )


def _wide(array: np.ndarray, width: int) -> np.ndarray:
    return np.pad(array, [(0, 0), (0, width - array.shape[1])] + [(0, 0)] * (array.ndim - 2))
