"""Judge a target policy: three estimates of its reward, or a refusal where the log has too little in common with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.types import F64
from training.offpolicy import estimators
from training.offpolicy.estimators import Estimate
from training.offpolicy.explored_slates import ExploredSlates

LEAST_EFFECTIVE_USERS = 400
"""Below this effective number of users the weights of a few users decide, and intervals are too narrow: `make proofs`
measures by how much."""

MOST_ERRORS = 4.0
"""Standard errors by which the mean weight of a place may differ from 1. A lower mean is the share of what the target
shows and the log never does."""


@dataclass(frozen=True)
class Judgement:
    """The reward of a slate under the logged policy and under the target, by three estimates.

    effective_users: how many users of equal weight would say as much, at the place where they are the fewest.
    """

    logged: Estimate
    inverse_propensity: Estimate
    self_normalised: Estimate
    doubly_robust: Estimate
    effective_users: float


@dataclass(frozen=True)
class Refusal:
    """Why there is no estimate, as a sentence."""

    sentence: str
    effective_users: float


def judge(slates: ExploredSlates) -> Judgement | Refusal:
    """The estimates for the target policy of some slates, or a refusal."""
    if not len(slates):
        return Refusal("No slate explored. Give an arm of an experiment the table explore.", 0.0)
    weights = slates.weights
    effective = float(_effective_users(slates, weights).min())
    if effective < LEAST_EFFECTIVE_USERS:
        return Refusal(
            f"The logged slates say no more about this policy than its own slates of {effective:.0f} "
            f"user{'s' * (round(effective) != 1)} would. An estimate needs {LEAST_EFFECTIVE_USERS} users. Log more "
            "slates, explore at a higher temperature, or judge a policy that is nearer to the logged one.",
            effective,
        )
    for place, column in enumerate(weights.T, 1):
        mean = estimators.mean_of(column, slates.users)
        if abs(mean.value - 1) > MOST_ERRORS * mean.error:
            return Refusal(
                f"The weights have the mean {mean.value:.2f} in place of 1 up to place {place}: the policy shows items "
                "that the log does not have at these places, or the logged probabilities are wrong.",
                effective,
            )
    return Judgement(
        estimators.logged(slates),
        estimators.inverse_propensity(slates),
        estimators.self_normalised(slates),
        estimators.doubly_robust(slates),
        effective,
    )


def _effective_users(slates: ExploredSlates, weights: F64) -> F64:
    """Kish's effective sample size of the users' weights at each place: [K], 0 if all weights are 0."""
    users = np.zeros((int(slates.users.max()) + 1, weights.shape[1]))
    np.add.at(users, slates.users, weights)
    squares = (users**2).sum(axis=0)
    found: F64 = np.divide(users.sum(axis=0) ** 2, squares, out=np.zeros(len(squares)), where=squares > 0)
    return found
