"""Train the ranker a second time, on examples of the log and on slates that users were shown, and choose between both
rankers by newer slates.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch

from recsys.kernels.feature_kernels import FLAGS, RECENT
from recsys.model.ranker import RankerNet
from recsys.types import F64, I64, Bool
from training.config import TrainingConfig
from training.device import find_device
from training.progress import StepProgress, no_step
from training.rank.examples import MASKED, TOP, UNCOUNTED, Examples
from training.rank.fit_net import fit_net, scores
from training.rank.shown_slates import PositionBias, ShownSlates, slate_examples
from training.ranking_metrics import ndcg
from training.read.impressions import ShownItems
from training.results import HELD_OUT, ImpressionComparison


def fit_with_impressions(
    net: RankerNet, examples: Examples, slates: ShownSlates, config: TrainingConfig, progress: StepProgress = no_step
) -> tuple[RankerNet, ImpressionComparison]:
    """A net trained on `examples` and on slates, and its comparison with `net`, which has the examples alone.

    Without enough slates the net is `net`, and the comparison has the reason.
    """
    start, shown, bias, trains = time.monotonic(), slates.shown, slates.bias, slates.trains
    trained, held = int(trains.sum()), int(slates.held_out.sum())
    found = ImpressionComparison(trained, held, left_out=dict(shown.left_out), seconds=slates.seconds)
    if not trained or held < HELD_OUT:
        reason = (
            f"{trained:,} slates with a taken item are old enough to train on, and {held:,} newer ones measure the "
            f"ranker; 1 and {HELD_OUT} are enough"
        )
        return net, replace(found, reason=reason)
    torch.manual_seed(config.seed)
    rng, device = np.random.default_rng(config.seed), find_device(config.device)
    learned = slate_examples(shown, trains, bias)
    learned.x[::UNCOUNTED, :, RECENT:FLAGS] = 0
    other = fit_net([examples, learned], config.ranker, rng, device, progress)
    found = compare(other, net, shown, slates.held_out, bias, found)
    return other, replace(found, seconds=round(slates.seconds + time.monotonic() - start, 1))


def compare(
    ours: RankerNet,
    theirs: RankerNet,
    shown: ShownItems,
    held: Bool,
    bias: PositionBias,
    found: ImpressionComparison,
) -> ImpressionComparison:
    """`found` with the figures of two nets on held-out slates. held: [S].

    A slate counts with the grade of its best taken item, over the rate of the item's place: the log has more items
    that were taken because they stood first.
    """
    measured = slate_examples(shown, held, bias)
    weights = measured.weight / bias.of(_best_places(shown)[held])
    mine, other = (slate_ndcg(measured, scores(net, measured.x)) for net in (ours, theirs))
    difference, error = weighted_mean(mine - other, weights, shown.users[held])
    return replace(
        found,
        ours=round(float(np.average(mine, weights=weights)), 6),
        theirs=round(float(np.average(other, weights=weights)), 6),
        error=round(error, 6),
        serves=difference > 0,
        rates=tuple(bias.rates.round(4).tolist()),
    )


def slate_ndcg(examples: Examples, found: np.ndarray) -> F64:
    """NDCG@10 of the taken items of each slate in the order of scores [S, K]: [S]. A tie counts against the item."""
    ranked = np.where(examples.real, found, MASKED)
    slates, columns = np.nonzero(examples.answer)
    places = (ranked[slates] >= ranked[slates, columns][:, None]).sum(axis=1) - 1
    return ndcg(places, slates, TOP)


def weighted_mean(values: F64, weights: F64, users: I64) -> tuple[float, float]:
    """The weighted mean of slates' values and its standard error, clustered by user."""
    mean = float(np.average(values, weights=weights))
    deviation = np.bincount(users, weights * (values - mean))
    return mean, float(np.sqrt((deviation**2).sum()) / weights.sum())


def _best_places(shown: ShownItems) -> I64:
    """The place of the item with the largest grade of each slate, the first of several: [S]."""
    order = np.lexsort((shown.places, -shown.grades, shown.slates))
    first = np.flatnonzero(np.diff(shown.slates[order], prepend=-1))
    places: I64 = shown.places[order[first]]
    return places
