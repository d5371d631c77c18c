"""Estimate the reward of a slate under a target policy, with an interval of 95 % that is clustered by user.

The assumption: the reward of a place depends on the items at this place and before, and on no later one (McInerney et
al., "Counterfactual Evaluation of Slate Recommendations with Sequential Reward Interactions", KDD 2020). IPS weighs
each reward by inverse propensity. The self-normalised estimate divides by the sum of the weights, which are clipped at
the square root of the number of slates (Ionides, "Truncated Importance Sampling", 2008). The doubly robust estimate
adds a reward model (Kiyohara et al., "Doubly Robust Off-Policy Evaluation for Ranking Policies under the Cascade
Behavior Model", WSDM 2022), with the same clipped weights: a wrong model costs precision, and hardly any bias.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import t as student

from recsys.types import F64, I64
from training.judge.verdicts import Estimate
from training.offpolicy.explored_slates import ExploredSlates

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
