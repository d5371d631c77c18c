"""Estimate the reward of a slate under a target policy, with an interval of 95 % that is clustered by user, or refuse
where the log has too little in common with it.

The assumption: the reward of a place depends on the items at this place and before, and on no later one (McInerney et
al., "Counterfactual Evaluation of Slate Recommendations with Sequential Reward Interactions", KDD 2020). IPS weighs
each reward by inverse propensity. The self-normalised estimate divides by the sum of the weights, which are clipped at
the square root of the number of slates (Ionides, "Truncated Importance Sampling", 2008). The doubly robust estimate
adds a reward model (Kiyohara et al., "Doubly Robust Off-Policy Evaluation for Ranking Policies under the Cascade
Behavior Model", WSDM 2022), with the same clipped weights: a wrong model costs precision, and hardly any bias.

The weights of a place are products over the places before, so they vary more from place to place. The judged places are
the longest prefix of the slate with enough users in the log. The weights alone choose it, never the rewards: a choice
by rewards would bias the estimates.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from scipy.stats import t as student

from recsys.types import F64, I64
from training.results import Estimate, Judgement, Overlap, Refusal


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


COVERED = 0.95


def logged(slates: ExploredSlates) -> Estimate:
    """The reward under the logged policy."""
    return mean_of(slates.rewards.sum(axis=1), slates.users)


def inverse_propensity(slates: ExploredSlates) -> Estimate:
    """IPS: unbiased, with a large variance."""
    return mean_of((slates.weights * slates.rewards).sum(axis=1), slates.users)


def self_normalised(slates: ExploredSlates) -> Estimate:
    """Self-normalised IPS with clipped weights: place by place the weighted mean of the rewards."""
    return mean_of(_weighted(_clipped(slates.weights), slates.rewards), slates.users)


def doubly_robust(slates: ExploredSlates) -> Estimate:
    """The reward model's mean under the target, plus the weighted mean of the model's errors, place by place."""
    return mean_of(_doubly_robust(slates), slates.users)


def difference(slates: ExploredSlates) -> Estimate:
    """The doubly robust estimate less the logged reward, slate by slate: narrower than the two intervals."""
    return mean_of(_doubly_robust(slates) - slates.rewards.sum(axis=1), slates.users)


def _doubly_robust(slates: ExploredSlates) -> F64:
    model = _weighted(_clipped(slates.weights_before), slates.expected)
    return model + _weighted(_clipped(slates.weights), slates.rewards - slates.predicted)


def _clipped(weights: F64) -> F64:
    return np.minimum(weights, np.sqrt(len(weights)))


def _weighted(weights: F64, values: F64) -> F64:
    """The weighted mean of values [S, K] over slates, summed over places, as a value of each slate: [S].

    The mean of these values is the weighted mean, and their deviations are its linear expansion in each slate.
    """
    sums = weights.sum(axis=0)
    means = np.divide((weights * values).sum(axis=0), sums, out=np.zeros(len(sums)), where=sums > 0)
    shares = np.divide(weights * len(weights), sums, out=np.zeros(weights.shape), where=sums > 0)
    found: F64 = (means + shares * (values - means)).sum(axis=1)
    return found


def mean_of(values: F64, users: I64) -> Estimate:
    """The mean of the slates' values, with the error of a ratio over users: all slates of a user are one draw."""
    count, mean = int(users.max()) + 1, float(values.mean())
    sums, slates = np.bincount(users, values, count), np.bincount(users, minlength=count)
    error = float(np.sqrt(((sums - mean * slates) ** 2).sum() * count / max(count - 1, 1)) / len(values))
    half = float(student.ppf((1 + COVERED) / 2, max(count - 1, 1))) * error
    return Estimate(mean, mean - half, mean + half, error)


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
        logged(judged),
        inverse_propensity(judged),
        self_normalised(judged),
        doubly_robust(judged),
        difference(judged),
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
        mean = mean_of(column, slates.users)
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
