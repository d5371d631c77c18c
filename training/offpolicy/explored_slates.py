"""Explored slates with the probabilities of two policies: the logged one, and the target, which is judged."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from recsys.types import F64, I64


@dataclass(frozen=True, slots=True, eq=False)
class ExploredSlates:
    """S slates of at most K places. A place beyond a slate's end has the probabilities 1, and the rewards 0.

    users: [S] the number of each slate's user, from 0 on. rewards: [S, K]. logged, target: [S, K] the probability of
    the shown item at its place under each policy, given the logged places before. predicted: [S, K] the reward model's
    value of the shown item. expected: [S, K] the mean of the model's values under the target, given the logged places
    before. Zeros in both are no model. outside: [S, K] the target's probability of items that the log can't show at the
    place. ValueError if a logged probability is 0.
    """

    users: I64
    rewards: F64
    logged: F64
    target: F64
    predicted: F64
    expected: F64
    outside: F64

    def __post_init__(self) -> None:
        if not (self.logged > 0).all():
            raise ValueError("A logged probability is 0. Leave out slates that did not explore.")

    def __len__(self) -> int:
        return len(self.users)

    def first(self, places: int) -> ExploredSlates:
        """The first places of the slates."""
        kept = {each.name: getattr(self, each.name)[:, :places] for each in fields(self) if each.name != "users"}
        return replace(self, **kept)

    @property
    def weights(self) -> F64:
        """How much more likely the target shows a slate's places up to each one: [S, K].

        The product over the places holds if the reward of a place does not depend on later places. The ratio of one
        place alone would assume that the places before do not matter: its interval rarely has the truth.
        """
        weights: F64 = np.cumprod(self.target / self.logged, axis=1, dtype=np.float64)
        return weights

    @property
    def weights_before(self) -> F64:
        """The weights of the places before each one: [S, K], 1 for the first place."""
        first = np.ones((len(self), 1))
        return np.concatenate([first, self.weights[:, :-1]], axis=1)
