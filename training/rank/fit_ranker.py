"""Fit the ranker, the network that orders candidate items, or choose a simple order of candidates where too few
examples are available.

The first stage, which retrieves the candidates, has not learned from the events of the examples. So no feature depends
on an answer. A simple order is a weighted sum of features. Some are fixed; one is fitted by the likelihood of the items
that users took. Users without history get the popular items first, because a small log has too few such users to judge
an order for them. On MovieLens 1M, horizon (509 examples), test recall@10/ndcg@10 is .264/.265 with the fitted order,
.245/.241 with all 52 features fitted, .249/.253 with the best fixed order, .238/.245 with recent popularity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from pydantic import TypeAdapter

from recsys.generation.manifest import RANKER
from recsys.model import features
from recsys.model.ranker import RankerNet
from training.config import TrainingConfig
from training.device import find_device
from training.encode.split import Split
from training.fit.first_stage import FirstStage
from training.progress import StepProgress, no_step
from training.rank.examples import Examples, gather, listwise_loss
from training.rank.fit_net import fit_net, scores
from training.rank.shown_slates import ShownSlates
from training.rank.with_impressions import fit_with_impressions
from training.results import ImpressionComparison

_POPULARITY = "popularity_decayed"

ORDERS: dict[str, dict[str, float]] = {
    "popularity_decayed": {_POPULARITY: 1},
    "tower": {"tower": 1},
    "covisit_0.9": {"covisit_0.9": 1},
    **{f"popularity_decayed + {weight} tower": {_POPULARITY: 1, "tower": weight} for weight in (1, 2, 4, 6, 8, 16)},
}
"""Weighted sums of features by name; the first wins a tie."""

FITTED = "a fitted sum of twelve features"
FITTED_FEATURES = (
    _POPULARITY,
    "popularity_30d",
    "popularity_7d",
    "popularity_all",
    "tower",
    "covisit_0.9",
    "ease_0.97",
    "content_affinity",
    "age",
    "like_mean",
    "repeat_count",
    "repeat_recency",
)
"""Features that change slowly: popularity, taste, repeats. Those of the last step say little of the next weeks."""

HIDING = 1e3
"""The weight of the length of the history by which hidden units are 0 from one event on."""

PENALTY = 0.003
"""On the squares of the weights of standardised features."""


def best_order(examples: Examples) -> tuple[str, float]:
    """The order of ORDERS with the highest recall, and its recall."""
    width = examples.x.shape[2]
    recalls = {name: examples.recall(scores(order_net(each, width), examples.x)) for name, each in ORDERS.items()}
    best = max(ORDERS, key=lambda name: recalls[name])
    return best, recalls[best]


def fit_order(examples: Examples) -> dict[str, float]:
    """The weights of FITTED_FEATURES that maximise the likelihood of the answers."""
    columns = [features.FEATURES.index(name) for name in FITTED_FEATURES]
    rows = examples.x[..., columns]
    mean, deviation = rows[examples.real].mean(axis=0), rows[examples.real].std(axis=0) + 1e-3
    x = torch.from_numpy((rows - mean) / deviation)
    answer, real = torch.from_numpy(examples.answer), torch.from_numpy(examples.real)
    weights = torch.zeros(len(columns), requires_grad=True)
    weight = torch.from_numpy(examples.weight)
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = listwise_loss(x @ weights, answer, real, weight) + PENALTY * (weights**2).sum()
        value.backward()
        return value

    optimizer.step(loss)
    return dict(zip(FITTED_FEATURES, (weights.detach().numpy() / deviation).tolist(), strict=True))


@torch.no_grad()
def order_net(weights: Mapping[str, float], width: int = len(features.FEATURES)) -> RankerNet:
    """The weighted sum of features as a ranker's net, which no example trained; recent popularity without a history.

    width: the number of features. The hidden units are 0 for a user with a history. Otherwise they subtract the sum and
    add the popularity.
    """
    net = RankerNet(width)
    for parameter in net.parameters():
        parameter.zero_()
    order = {features.FEATURES.index(feature): weight for feature, weight in weights.items()}
    popularity, length = (features.FEATURES.index(name) for name in (_POPULARITY, "history_length"))
    # The net clamps standardised features at 5; every feature of an order is far below 5 * 10.
    net.deviation[[popularity, *order]] = 10
    for column, weight in order.items():
        net.out.weight[0, column] = weight
    first, second = net.deep[0].get_parameter("weight"), net.deep[2].get_parameter("weight")
    subtracted = [(column, sign, -sign * weight) for column, weight in order.items() for sign in (1, -1)]
    for unit, (column, sign, weight) in enumerate([(popularity, 1, 1.0), *subtracted]):
        first[unit, column], first[unit, length], second[unit, unit] = sign, -HIDING, 1
        net.out.weight[0, width + unit] = weight
    return net.eval()


OTHER, FIT = "other.safetensors", "fit.json"
"""Files of a fit: the net that was not chosen, and all but the nets."""

_FITS = TypeAdapter(tuple[int, str | None, tuple[str, ...], ImpressionComparison | None])

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

    def save(self, folder: Path) -> None:
        """Write the fit's files into a folder."""
        self.net.save(folder / RANKER)
        if self.other is not None:
            self.other.save(folder / OTHER)
        (folder / FIT).write_bytes(_FITS.dump_json((self.epochs, self.order, self.warnings, self.impressions)))

    @classmethod
    def load(cls, folder: Path) -> RankerFit:
        """Read what `save` wrote."""
        other = RankerNet.load(folder / OTHER) if (folder / OTHER).exists() else None
        return cls(RankerNet.load(folder / RANKER), *_FITS.validate_json((folder / FIT).read_bytes()), other)

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
