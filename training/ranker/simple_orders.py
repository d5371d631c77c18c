"""Simple orders of candidates, for where too few examples teach a ranker, or teach it worse.

A few are stated; one is fitted: the weights of ten features, by the likelihood of the answers. On MovieLens 1M, horizon
(509 examples), this share of the answers is found among the first ten, two halves judging each other (recall@10/ndcg@10
of the test in brackets): ten weights .242 (.264/.265), all 52 features .229 (.245/.241), three .215 (.253/.255), the
best stated order .216 (.249/.253), recent popularity alone .161 (.238/.245). The two features of repeats are 0 there;
where seen items may be shown again they are added: of data/shop overall recall@10 is .461 with them, .401 without.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from recsys.model import features
from recsys.model.ranker import RankerNet
from recsys.types import F32, Bool
from training.towers.loss import listwise_loss

TOP = 10

_POPULARITY = "popularity_decayed"

ORDERS: dict[str, dict[str, float]] = {
    "popularity_decayed": {_POPULARITY: 1},
    "tower": {"tower": 1},
    "covisit_0.9": {"covisit_0.9": 1},
    **{f"popularity_decayed + {weight} tower": {_POPULARITY: 1, "tower": weight} for weight in (1, 2, 4, 6, 8, 16)},
}
"""Weighted sums of features by name; the first wins a tie."""

FITTED = "a fitted sum of twelve features"
WEIGHED = (
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
"""What changes slowly: popularity, taste and the user's own repeats, and nothing of the last step, which says little of
the weeks to come."""

PENALTY = 0.003
"""On the squares of the weights of standardised features; .001 and .01 find .234 and .238 there."""


@dataclass(frozen=True)
class Examples:
    """Queries with the answers among their candidates.

    x: [Q, K, F] float32. answer: [Q, K] bool, what the user went on to. real: [Q, K] bool, padding and what the user
    has had apart. weight: [Q] float32, how much each query counts.
    """

    x: F32
    answer: Bool
    real: Bool
    weight: F32

    def __len__(self) -> int:
        return len(self.x)

    def at(self, rows: np.ndarray) -> Examples:
        """Some of the queries."""
        return Examples(self.x[rows], self.answer[rows], self.real[rows], self.weight[rows])


def found(examples: Examples, scores: F32) -> float:
    """Weighted mean share of the answers among each query's first TOP, of the TOP or fewer that there could be."""
    if not len(examples):
        return 0.0
    first = np.argsort(-np.where(examples.real, scores, -np.inf), axis=1, kind="stable")[:, :TOP]
    hits = np.take_along_axis(examples.answer, first, axis=1).sum(axis=1)
    shares = hits / np.minimum(examples.answer.sum(axis=1), TOP)
    return float(np.average(shares, weights=examples.weight))


def best_order(examples: Examples) -> tuple[str, float]:
    """Of ORDERS that which puts most answers among the first TOP, and their share."""
    shares = {name: found(examples, weigh(examples.x, weights)) for name, weights in ORDERS.items()}
    best = max(ORDERS, key=lambda name: shares[name])
    return best, shares[best]


def fit_order(examples: Examples) -> dict[str, float]:
    """Weights of the features of WEIGHED that make the answers likeliest, all answers of a query sharing its weight."""
    columns = [features.FEATURES.index(name) for name in WEIGHED]
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
    return dict(zip(WEIGHED, (weights.detach().numpy() / deviation).tolist(), strict=True))


@torch.no_grad()
def order_by(weights: Mapping[str, float]) -> RankerNet:
    """A ranker that no examples trained: a weighted sum of features."""
    net = RankerNet()
    for parameter in net.parameters():
        parameter.zero_()
    for feature, weight in weights.items():
        column = features.FEATURES.index(feature)
        # The net clamps what it standardises at 5, and every feature of an order stays far below 5 * 10.
        net.deviation[column] = 10
        net.out.weight[0, column] = weight
    return net.eval()


def weigh(x: F32, weights: Mapping[str, float]) -> F32:
    """The weighted sum of features [..., F]: [...]."""
    total = np.zeros(x.shape[:-1], np.float32)
    for feature, weight in weights.items():
        total += np.float32(weight) * x[..., features.FEATURES.index(feature)]
    return total
