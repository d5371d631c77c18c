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

from recsys.model.ranker import RankerNet
from training.config import TrainingConfig
from training.device import find_device
from training.encode.split import Split
from training.fit.first_stage import FirstStage
from training.progress import StepProgress, no_step
from training.rank.examples import Examples, gather
from training.rank.fit_net import fit_net
from training.rank.impression_comparison import ImpressionComparison
from training.rank.shown_slates import ShownSlates
from training.rank.simple_orders import FITTED, ORDERS, best_order, fit_order, order_net, scores
from training.rank.with_impressions import fit_with_impressions

FEWEST = 50
"""Examples below which no weights are fitted: with fewer, one half says little of the other."""


@dataclass(frozen=True)
class RankerFit:
    """A ranker's net. epochs: of the towers that retrieved its candidates, chosen by validation.

    order: the simple order that the net is; None where it is trained. warnings: a sentence that says so. impressions:
    the choice between a ranker with impressions and one without, None if there are no impressions; other: the net that
    was not chosen.
    """

    net: RankerNet
    epochs: int
    order: str | None = None
    warnings: tuple[str, ...] = ()
    impressions: ImpressionComparison | None = None
    other: RankerNet | None = None

    def with_epochs(self, config: TrainingConfig) -> TrainingConfig:
        """`config` with the chosen number of epochs, for towers that have no labels left for a validation."""
        return replace(config, tower=replace(config.tower, epochs=self.epochs))


def fit_ranker(
    parts: Split,
    stage: FirstStage,
    config: TrainingConfig,
    progress: StepProgress = no_step,
    slates: ShownSlates | None = None,
) -> RankerFit:
    """Train on the labels of `parts`: each query's answers against the other candidates that `stage` retrieves for it.

    The ranker is a simple order where fewer than `config.ranker.minimum` queries have an answer among their candidates,
    and where fewer than `config.ranker.doubtful` have one and the order has at least the recall of a trained ranker.
    slates: that users were shown, to train on too; each counts as such a query. A simple order learns nothing of them.
    """
    seed, ranker = config.seed, config.ranker
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    device = find_device(config.device)
    examples = gather(parts, stage, ranker, rng, progress)
    examples_and_slates = len(examples) + (0 if slates is None else int(slates.trains.sum()))
    if len(examples) < ranker.minimum or examples_and_slates < ranker.doubtful:
        order, weights, found = _simple_order(examples)
        if len(examples) < ranker.minimum or found >= _cross_recall(
            examples, lambda half: fit_net([half], ranker, rng, device)
        ):
            sentence = (
                f"Of the {len(parts.label_queries()):,} queries of the label window {len(examples):,} have an answer "
                f"among their candidates; they do not teach a ranker that beats a simple order: candidates are ordered "
                f"by {order}, and the ranker is untrained. {ranker.doubtful:,} of them are enough, most often."
            )
            unused = ImpressionComparison(reason="a simple order of the candidates serves") if slates else None
            return RankerFit(order_net(weights, examples.x.shape[2]), stage.epochs, order, (sentence,), unused)
    net = fit_net([examples], ranker, rng, device, progress)
    if slates is None:
        return RankerFit(net, stage.epochs)
    other, compared = fit_with_impressions(net, examples, slates, config, progress)
    if compared.serves:
        net, other = other, net
    return RankerFit(net, stage.epochs, None, (), compared, None if compared.reason else other)


def _simple_order(examples: Examples) -> tuple[str, dict[str, float], float]:
    """The fixed or fitted order with the highest recall: its name, its weights and its recall."""
    name, recall = best_order(examples)
    if len(examples) >= FEWEST:
        fitted = _cross_recall(examples, lambda half: order_net(fit_order(half), half.x.shape[2]))
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
