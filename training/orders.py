"""Simple orders of candidates, for where too few examples teach a ranker, or teach it worse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from recsys import features
from recsys.ranker import RankerNet
from recsys.types import F32, Bool

TOP = 10

_POPULARITY = "popularity_decayed"

ORDERS: dict[str, dict[str, float]] = {
    "popularity_decayed": {_POPULARITY: 1},
    "tower": {"tower": 1},
    "covisit_0.9": {"covisit_0.9": 1},
    **{f"popularity_decayed + {weight} tower": {_POPULARITY: 1, "tower": weight} for weight in (1, 2, 4, 6, 8, 16)},
}
"""Weighted sums of features by name; the first wins a tie."""


@dataclass(frozen=True)
class Examples:
    """Queries with the answers among their candidates.

    x: [Q, K, F] float32. answer: [Q, K] bool, what the user went on to. real: [Q, K] bool, padding and what the user
    has had apart.
    """

    x: F32
    answer: Bool
    real: Bool

    def __len__(self) -> int:
        return len(self.x)

    def at(self, rows: np.ndarray) -> Examples:
        """Some of the queries."""
        return Examples(self.x[rows], self.answer[rows], self.real[rows])


def found(examples: Examples, scores: F32) -> float:
    """Mean share of the answers among each query's first TOP, of the TOP or fewer that there could be."""
    if not len(examples):
        return 0.0
    first = np.argsort(-np.where(examples.real, scores, -np.inf), axis=1, kind="stable")[:, :TOP]
    hits = np.take_along_axis(examples.answer, first, axis=1).sum(axis=1)
    return float((hits / np.minimum(examples.answer.sum(axis=1), TOP)).mean())


def best_order(examples: Examples) -> tuple[str, float]:
    """Of ORDERS that which puts most answers among the first TOP, and their share."""
    shares = {name: found(examples, _sum(examples.x, weights)) for name, weights in ORDERS.items()}
    best = max(ORDERS, key=lambda name: shares[name])
    return best, shares[best]


@torch.no_grad()
def order_by(name: str) -> RankerNet:
    """A ranker that nothing taught: it has one of ORDERS."""
    net = RankerNet()
    for parameter in net.parameters():
        parameter.zero_()
    for feature, weight in ORDERS[name].items():
        column = features.FEATURES.index(feature)
        # The net clamps what it standardises at 5, and every feature of ORDERS stays far below 5 * 10.
        net.deviation[column] = 10
        net.out.weight[0, column] = weight
    return net.eval()


def _sum(x: F32, weights: dict[str, float]) -> F32:
    total = np.zeros(x.shape[:-1], np.float32)
    for feature, weight in weights.items():
        total += np.float32(weight) * x[..., features.FEATURES.index(feature)]
    return total
