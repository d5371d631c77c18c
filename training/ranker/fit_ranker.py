"""Fit the ranker, the network that orders candidate items, or choose a simple order of candidates where too few
examples are available.

The first stage, which retrieves the candidates, has not learned from the events of the examples. So no feature depends
on an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import OneCycleLR

from recsys.model.ranker import RankerNet
from recsys.types import I64
from training.config import RankerConfig, TrainingConfig
from training.device import CPU, find_device, mixed_precision
from training.evaluation.split import Split
from training.progress import StepProgress, no_step
from training.ranker.examples import Examples, gather, listwise_loss
from training.ranker.simple_orders import FITTED, ORDERS, best_order, fit_order, order_net, scores
from training.retrieval_stage import FirstStage

FEWEST = 50
"""Examples below which no weights are fitted: with fewer, one half says little of the other."""


@dataclass(frozen=True)
class RankerFit:
    """A ranker's net. epochs: of the towers that retrieved its candidates, chosen by validation.

    order: the simple order that the net is; None where it is trained. warnings: a sentence that says so.
    """

    net: RankerNet
    epochs: int
    order: str | None = None
    warnings: tuple[str, ...] = ()

    def with_epochs(self, config: TrainingConfig) -> TrainingConfig:
        """`config` with the chosen number of epochs, for towers that have no labels left for a validation."""
        return replace(config, tower=replace(config.tower, epochs=self.epochs))


def fit_ranker(parts: Split, stage: FirstStage, config: TrainingConfig, progress: StepProgress = no_step) -> RankerFit:
    """Train on the labels of `parts`: each query's answers against the other candidates that `stage` retrieves for it.

    The ranker is a simple order where fewer than `config.ranker.minimum` queries have an answer among their candidates,
    and where fewer than `config.ranker.doubtful` have one and the order has at least the recall of a trained ranker.
    """
    seed, ranker = config.seed, config.ranker
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    device = find_device(config.device)
    examples = gather(parts, stage, ranker, rng, progress)
    if len(examples) < max(ranker.minimum, ranker.doubtful):
        order, weights, found = _simple_order(examples)
        if len(examples) < ranker.minimum or found >= _cross_recall(
            examples, lambda half: _trained(half, ranker, rng, device)
        ):
            sentence = (
                f"Of the {len(parts.label_queries()):,} queries of the label window {len(examples):,} have an answer "
                f"among their candidates; they do not teach a ranker that beats a simple order: candidates are ordered "
                f"by {order}, and the ranker is untrained. {ranker.doubtful:,} of them are enough, most often."
            )
            return RankerFit(order_net(weights), stage.epochs, order, (sentence,))
    return RankerFit(_trained(examples, ranker, rng, device, progress), stage.epochs)


def _simple_order(examples: Examples) -> tuple[str, dict[str, float], float]:
    """The fixed or fitted order with the highest recall: its name, its weights and its recall."""
    name, recall = best_order(examples)
    if len(examples) >= FEWEST:
        fitted = _cross_recall(examples, lambda half: order_net(fit_order(half)))
        if fitted > recall:
            return FITTED, fit_order(examples), fitted
    return name, ORDERS[name], recall


def _cross_recall(examples: Examples, fit: Callable[[Examples], RankerNet]) -> float:
    """The recall of two nets, each fitted on one half of the examples and scoring the other half."""
    half = np.arange(len(examples)) % 2 == 0
    found = np.zeros(examples.real.shape, np.float32)
    for mine in (half, ~half):
        found[~mine] = scores(fit(examples.at(mine)), examples.x[~mine])
    return examples.recall(found)


def _trained(
    examples: Examples,
    config: RankerConfig,
    rng: np.random.Generator,
    device: torch.device = CPU,
    progress: StepProgress = no_step,
) -> RankerNet:
    """A net trained on `device`, on the CPU."""
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
            progress(0.5 + 0.5 * len(losses) / steps, loss=float(np.mean(losses[-50:])))
    return net.cpu().eval()


def _standardised(examples: Examples) -> RankerNet:
    """A net with new weights, and the mean and deviation of the features of the examples."""
    net = RankerNet()
    rows = examples.x[examples.real]
    net.mean.copy_(torch.from_numpy(rows.mean(axis=0)))
    # A column that is constant here trains no weight. With an infinite deviation its value never counts.
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
