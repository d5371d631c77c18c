"""Exploration: a place of a slate gets a candidate that is drawn at random, with a known probability (propensity).

The draw is Plackett-Luce: the probability of a candidate is proportional to exp(value / temperature), among the
candidates that the rules admit at the place. With a given share it is uniform among the uncertain candidates instead.
`Exploration` is the record of a slate's draws. It is enough to compute each probability and to draw again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys.types import F32, F64, I64, Bool, Id

BEYOND = 50
"""The draw has the best k + BEYOND candidates, and the best BEYOND uncertain ones. It bounds the bytes of the log."""


@dataclass(frozen=True, slots=True)
class DrawPolicy:
    """How the places of one slate are drawn.

    temperature: in standard deviations of all candidates' scores. uncertain: the share of the uniform draw.
    fewer_than: an item with fewer interactions is uncertain. seed: of the random numbers, 0 to 2**64 - 1.
    """

    temperature: float
    uncertain: float
    fewer_than: int
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class Exploration:
    """The draws of one slate of K places, among P candidates.

    items: [P], rows while a slate is made, and ids in the log. scores: [P] of the ranker. values: [1, P] scores after
    boosts, or [K, P] after diversity too. admitted: [K, P] which candidates the rules admit at a place; none where no
    draw was made. uncertain: [P]. propensities: [K] of the item at each place, given the places before; 1 without a
    draw. deviation: the standard deviation of all candidates' scores. policy: how the places were drawn.
    """

    items: Sequence[Id]
    scores: F32
    values: F32
    admitted: Bool
    uncertain: Bool
    propensities: F64
    deviation: float
    policy: DrawPolicy

    def probabilities(self, place: int, temperature: float | None = None, share: float | None = None) -> F64:
        """The probability of each candidate at a place, from 0 on: [P], all 0 where no draw was made.

        temperature, share: of another policy, in place of `policy.temperature` and `policy.uncertain`.
        """
        found, admitted = np.zeros(len(self.items)), self.admitted[place]
        temperature = self.policy.temperature if temperature is None else temperature
        share = self.policy.uncertain if share is None else share
        if admitted.any():
            values = self.values_at(place)[admitted]
            found[admitted] = draw_probabilities(values, self.uncertain[admitted], temperature * self.deviation, share)
        return found

    def values_at(self, place: int) -> F32:
        """The value of each candidate at a place, from 0 on: [P]."""
        values: F32 = self.values[place if len(self.values) > 1 else 0]
        return values

    def drawn(self) -> I64:
        """The candidate of each place, drawn again: [K], -1 where no draw was made."""
        numbers = random_numbers(self.policy.seed, len(self.admitted))
        found = [
            draw(self.probabilities(place), numbers[place]) if admitted.any() else -1
            for place, admitted in enumerate(self.admitted)
        ]
        return np.array(found, np.int64)


class PlaceDraw:
    """Draws candidates for the places of one slate, and records the draws."""

    def __init__(self, policy: DrawPolicy, items: Sequence[int], scores: F32, interactions: F32, k: int) -> None:
        """items: [n] candidates, the best first. scores: [n] of the ranker. interactions: [n]. k: places."""
        uncertain = interactions < policy.fewer_than
        self._pool = np.flatnonzero((np.arange(len(items)) < k + BEYOND) | (uncertain & (uncertain.cumsum() <= BEYOND)))
        self._items, self._scores = [items[at] for at in self._pool.tolist()], scores[self._pool]
        self._uncertain, self._policy = uncertain[self._pool], policy
        self._deviation = float(np.std(scores, dtype=np.float64)) or 1.0
        self._numbers = random_numbers(policy.seed, k)
        self._admitted = np.zeros((k, len(self._pool)), bool)
        self._values = np.zeros(self._admitted.shape, np.float32)
        self._propensities = np.ones(k)

    def draw(self, place: int, eligible: Bool, values: F32) -> int | None:
        """The candidate of a place, from 1 on; None if no eligible candidate can be drawn.

        eligible: [n] which candidates the rules admit. values: [n]; a candidate with -inf is not drawn by its value. An
        uncertain candidate with -inf keeps its part of the share that the uncertain ones have together.
        """
        at, of_pool = place - 1, values[self._pool]
        admitted = eligible[self._pool]
        if not np.isfinite(of_pool[admitted]).any():
            return None
        self._admitted[at], self._values[at] = admitted, of_pool
        open_places = np.flatnonzero(admitted)
        temperature = self._policy.temperature * self._deviation
        chances = draw_probabilities(of_pool[admitted], self._uncertain[admitted], temperature, self._policy.uncertain)
        drawn = draw(chances, self._numbers[at])
        self._propensities[at] = chances[drawn]
        return int(self._pool[open_places[drawn]])

    def record(self, places: int) -> Exploration:
        """The record of the first places. Values that are the same at each place with a draw are kept once."""
        values, admitted = self._values[:places], self._admitted[:places]
        made = values[admitted.any(axis=1)]
        same = not len(made) or bool((made == made[0]).all())
        return Exploration(
            self._items,
            self._scores,
            (made[:1] if len(made) else self._scores[None]) if same else values,
            admitted,
            self._uncertain,
            self._propensities[:places],
            self._deviation,
            self._policy,
        )


def draw_probabilities(values: F32, uncertain: Bool, temperature: float, share: float) -> F64:
    """The probability of each of n candidates: (1 - share) * Plackett-Luce + share * uniform among uncertain ones.

    values: [n], one finite at least. Without an uncertain candidate the share is 0.
    """
    scaled = values.astype(np.float64) / temperature
    weights = np.exp(scaled - scaled.max())
    chances: F64 = weights / weights.sum()
    count = np.count_nonzero(uncertain)
    if count and share:
        chances = (1 - share) * chances + share * uncertain / count
    return chances


def draw(chances: F64, number: float) -> int:
    """The place in `chances` [n] that a uniform number in [0, 1) draws. A chance of 0 is never drawn."""
    summed = np.cumsum(chances)
    found = int(np.searchsorted(summed, number * summed[-1], side="right"))
    return min(found, int(np.flatnonzero(chances)[-1]))  # the product may round up to the sum


def random_numbers(seed: int, count: int) -> F64:
    """Uniform numbers in [0, 1) from a counter-based generator: the same for a seed on every machine."""
    return np.random.Generator(np.random.Philox(key=seed)).random(count)
