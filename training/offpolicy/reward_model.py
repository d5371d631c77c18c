"""A simple reward model for the doubly robust estimate: how often users take an item, by its place and its score.

The model of a user's slates is fitted on the slates of other users: half of the users for the other half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys.rules.exploration import Exploration
from recsys.types import F64, I64

EDGES = np.array([-0.5, 0.5, 1.5, 2.5])
"""Classes of scores: standard deviations above the mean of the slate's candidates."""

PRIOR = 20.0
"""Shown items of the place, of any score, that each class counts as its own."""


@dataclass(frozen=True, eq=False)
class RewardModel:
    """rates: [2, K, classes], of the users with an odd and with an even number."""

    rates: F64

    @classmethod
    def fitted(cls, users: I64, draws: Sequence[Exploration], shown: I64, rewards: F64) -> RewardModel:
        """The model of S slates. users: [S]. shown, rewards: [S, K]; see `LoggedDraws`."""
        counts, sums = np.zeros((2, 2, shown.shape[1], len(EDGES) + 1))
        for slate, place in zip(*np.nonzero(shown >= 0), strict=True):
            of = 1 - users[slate] % 2, place, _classes(draws[slate], place)[shown[slate, place]]
            counts[of] += 1
            sums[of] += rewards[slate, place]
        means = sums.sum(axis=2, keepdims=True) / np.maximum(counts.sum(axis=2, keepdims=True), 1)
        return cls((sums + PRIOR * means) / (counts + PRIOR))

    def values(self, user: int, draws: Exploration, place: int) -> F64:
        """The predicted reward of each candidate at a place: [P]."""
        found: F64 = self.rates[user % 2, place][_classes(draws, place)]
        return found


def _classes(draws: Exploration, place: int) -> I64:
    values = draws.values_at(place).astype(np.float64)
    finite = np.isfinite(values)
    centred = np.where(finite, values, 0) - values[finite].mean()
    found: I64 = np.digitize(centred / draws.deviation, EDGES)
    return found
