"""Judge a target policy: three estimates of its reward, or a refusal where the log has too little in common with it.

The weights of a place are products over the places before, so they vary more from place to place. The judged places are
the longest prefix of the slate with enough users in the log. The weights alone choose it, never the rewards: a choice
by rewards would bias the estimates.
"""

from __future__ import annotations

import numpy as np

from recsys.types import F64
from training.judge.verdicts import Judgement, Overlap, Refusal
from training.offpolicy import estimators
from training.offpolicy.explored_slates import ExploredSlates

LEAST_EFFECTIVE_USERS = 800
"""Below this effective number of users the weights of a few users decide, and intervals are too narrow."""

MOST_ERRORS = 4.0
"""Standard errors by which the mean weight of a place may differ from 1."""

ROUNDING = 1e-3
"""By which the mean weight may differ from 1 in any case: probabilities that are computed again are rounded."""

MOST_OUTSIDE = 0.05
"""The target's probability of items that the log can't show, up to which it is judged. The judged policy makes the
log's own draw in their place: with 2 % outside it was better by 1 % than the policy, in a made-up shop."""


def judge(slates: ExploredSlates) -> Judgement | Refusal:
    """The estimates for the target policy of some slates, or a refusal."""
    if not len(slates):
        return Refusal("No slate explored. Give an arm of an experiment the table explore.")
    overlap = _overlap(slates)
    enough = np.array(overlap.effective_users) >= LEAST_EFFECTIVE_USERS
    places = int(np.argmin(enough)) if not enough.all() else len(enough)
    if sentence := _too_little(slates.first(max(places, 1)), places, overlap):
        return Refusal(sentence, overlap)
    judged = slates.first(places)
    return Judgement(
        estimators.logged(judged),
        estimators.inverse_propensity(judged),
        estimators.self_normalised(judged),
        estimators.doubly_robust(judged),
        estimators.difference(judged),
        places,
        overlap,
    )


def _too_little(slates: ExploredSlates, places: int, overlap: Overlap) -> str:
    """Why the first places can't be judged, as a sentence; empty if they can."""
    outside = float(np.mean(overlap.outside[: max(places, 1)]))
    if outside > MOST_OUTSIDE:
        return (
            f"{outside:.0%} of this policy's probability is on items that the log can't show at their places; "
            f"{MOST_OUTSIDE:.0%} may be. Judge a policy that is nearer to the logged one."
        )
    if not places:
        effective = overlap.effective_users[0]
        return (
            f"The logged slates say no more about this policy's first place than its own slates of {effective:.0f} "
            f"user{'s' * (round(effective) != 1)} would. An estimate needs {LEAST_EFFECTIVE_USERS} users. Log more "
            "slates, explore at a higher temperature, or judge a policy that is nearer to the logged one."
        )
    for place, column in enumerate(slates.weights.T, 1):
        mean = estimators.mean_of(column, slates.users)
        if abs(mean.value - 1) > max(MOST_ERRORS * mean.error, ROUNDING):
            return (
                f"The weights have the mean {mean.value:.2f} in place of 1 up to place {place}: the policy shows items "
                "that the log does not have at these places, or the logged probabilities are wrong."
            )
    return ""


def _overlap(slates: ExploredSlates) -> Overlap:
    """Kish's effective sample size of the users' weights at each place, and the mean of what is outside the log."""
    weights, before = slates.weights, slates.weights_before
    users = np.zeros((int(slates.users.max()) + 1, weights.shape[1]))
    np.add.at(users, slates.users, weights)
    effective = _ratio(users.sum(axis=0) ** 2, (users**2).sum(axis=0))
    outside = _ratio((before * slates.outside).sum(axis=0), before.sum(axis=0))
    return Overlap(tuple(effective.round(1).tolist()), tuple(outside.round(6).tolist()))


def _ratio(numbers: F64, sums: F64) -> F64:
    """numbers / sums, 0 where the sum is 0."""
    found: F64 = np.divide(numbers, sums, out=np.zeros(len(sums)), where=sums > 0)
    return found
