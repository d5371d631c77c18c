"""Slates that explored, as `python -m flows drain` wrote them, with the probabilities of a target policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recsys.rules.exploration import Exploration
from recsys.types import F64, I64
from training.offpolicy.explored_slates import ExploredSlates
from training.offpolicy.reward_model import RewardModel
from training.offpolicy.target_draws import TargetDraws


@dataclass(frozen=True, slots=True, eq=False)
class LoggedSlate:
    """A slate of K places that explored. asked: the time of the request, unix seconds. context: of the request.

    from_store: whether the user's history was that of the store alone. draws: its items are ids. items: [K] the id at
    each place, empty for an item that was no candidate. rewards: [K] whether the user took it.
    """

    user_id: str
    generation: str
    asked: float
    context: Mapping[str, str]
    from_store: bool
    draws: Exploration
    items: Sequence[str]
    rewards: F64

    @property
    def shown(self) -> I64:
        """The candidate at each place: [K], -1 where no draw was made."""
        number = {str(item): at for at, item in enumerate(self.draws.items)}
        pairs = zip(self.items, self.draws.admitted, strict=True)
        return np.array([number.get(item, -1) if admitted.any() else -1 for item, admitted in pairs], np.int64)


def under(slates: Sequence[LoggedSlate], target: Sequence[TargetDraws]) -> ExploredSlates:
    """Slates with the probabilities of a target policy. target: of each slate."""
    users = pd.factorize(np.array([each.user_id for each in slates], object))[0].astype(np.int64)
    draws, shown = [each.draws for each in slates], _even([each.shown for each in slates], -1)
    rewards = _even([each.rewards for each in slates], 0.0)
    model = RewardModel.fitted(users, draws, shown, rewards)
    logged, wanted, predicted, expected = (np.full(shown.shape, fill) for fill in (1.0, 1.0, 0.0, 0.0))
    for slate, place in zip(*np.nonzero(shown >= 0), strict=True):
        at, chances = shown[slate, place], target[slate].chances[place]
        values = model.values(users[slate], draws[slate], place)
        logged[slate, place], wanted[slate, place] = draws[slate].propensities[place], chances[at]
        predicted[slate, place], expected[slate, place] = values[at], chances @ values
    outside = _even([each.outside for each in target], 0.0)
    return ExploredSlates(users, rewards, logged, wanted, predicted, expected, outside)


def _even(rows: Sequence[np.ndarray], fill: float) -> np.ndarray:
    """Rows of several lengths as one array, filled up at their ends."""
    found = np.full((len(rows), max(map(len, rows), default=0)), fill)
    for at, row in enumerate(rows):
        found[at, : len(row)] = row
    return found.astype(np.int64) if isinstance(fill, int) else found
