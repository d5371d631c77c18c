"""Position bias: how much more often users take an item at the first places of a slate than the same item further down.

It is measured on items that were drawn at random, and corrected while the ranker trains. The trained ranker has no
input for the place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from recsys.types import F32, F64, I64

FEWEST = 100
"""Taken items among drawn ones below which nothing is corrected: the rate of all places then has an error of 10 %."""

PRIOR = 10.0
"""Taken items with which the mean rate of all places counts at each place, so that no rate is 0 or of one click."""

MOST = 100.0
"""The largest weight, one over the propensity. An item with a smaller one would decide the rate of its place."""


@dataclass(frozen=True, slots=True)
class PositionBias:
    """rates: [P] of taken items by place, relative to the best place; empty where too little was drawn."""

    rates: F64

    @property
    def measured(self) -> bool:
        """Whether there is a correction."""
        return len(self.rates) > 0

    def of(self, places: I64) -> F64:
        """The relative rate at places of any shape. A place after the last measured one has its rate; unmeasured: 1."""
        if not self.measured:
            return np.ones(places.shape)
        found: F64 = self.rates[np.minimum(places, len(self.rates) - 1)]
        return found

    def offset(self, places: I64) -> F32 | None:
        """What the loss adds to the scores of slates, so that the scores need not explain the places; None unmeasured.

        Let a user take an item with a probability in proportion to rate(place) * exp(score). Which of a slate's items
        is taken then has the odds exp(score + log rate(place)).
        """
        return np.log(self.of(places)).astype(np.float32) if self.measured else None


def measure(drawn: pd.DataFrame) -> PositionBias:
    """The rates of items that were drawn at random. drawn: columns place, propensity and grade.

    An item counts with one over its propensity: each place then has the same mixture of items.
    """
    taken = (drawn["grade"] > 0).to_numpy(np.float64)
    if taken.sum() < FEWEST:
        return PositionBias(np.zeros(0))
    weights, places = np.minimum(1 / drawn["propensity"].to_numpy(), MOST), drawn["place"].to_numpy(np.int64)
    weights /= weights.mean()
    mean = float((weights * taken).sum() / weights.sum())
    rates = (np.bincount(places, weights * taken) + PRIOR) / (np.bincount(places, weights) + PRIOR / mean)
    return PositionBias(rates / rates.max())
