"""Off-policy estimates: exact where all slates are enumerated, clustered by user, refused without overlap."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import binom

from tests.sample_data.explored_shop import ITEMS, LOGGED, Policy, Visits, log, random_policy, true_rewards
from training.offpolicy.estimates import (
    ExploredSlates,
    doubly_robust,
    inverse_propensity,
    judge,
    logged,
    self_normalised,
)
from training.results import Refusal

WORTH = np.array([5.0, 2.0, 1.0])
"""The odds of each of three items under the target."""


def enumerated():
    """Every slate of two of three items equally often, as a uniform policy shows them; and the target's true reward.

    An item is worth more below item 0. The reward model is wrong.
    """
    rows, truth = [], 0.0
    for first, second in permutations(range(3), 2):
        left = WORTH * (np.arange(3) != first)
        target = WORTH[first] / WORTH.sum(), left[second] / left.sum()
        rewards = float(first == 1), 2.0 * second if first == 0 else float(second)
        truth += target[0] * target[1] * sum(rewards)
        model = np.array([0.3, 0.1, 0.7])
        expected = (WORTH / WORTH.sum()) @ model, (left / left.sum()) @ model
        rows.append((rewards, (1 / 3, 1 / 2), target, (model[first], model[second]), expected))
    columns = [np.array(each * 50) for each in zip(*rows, strict=True)]  # no weight is above the limit
    return ExploredSlates(np.arange(300), *columns, np.zeros((300, 2))), truth


@pytest.mark.parametrize("estimate", [inverse_propensity, self_normalised, doubly_robust])
def test_the_estimate_of_all_slates_is_the_truth(estimate):
    """Also where the reward of a place depends on the place before, and with a wrong reward model."""
    slates, truth = enumerated()
    assert estimate(slates).value == pytest.approx(truth)
    assert logged(slates).value != pytest.approx(truth, rel=0.05)


def test_the_slates_of_a_user_are_one_observation():
    """Each user's slates five times: the interval is as wide as before. As slates of others it would be narrower."""
    random = np.random.default_rng(1)
    slates = log(Visits(300, random), LOGGED, LOGGED, random)
    columns = [np.repeat(getattr(slates, name), 5, axis=0) for name in slates.__slots__]
    repeated = ExploredSlates(*columns)
    others = replace(repeated, users=np.arange(len(repeated)))
    for estimate in (inverse_propensity, self_normalised, doubly_robust):
        assert estimate(repeated).error == pytest.approx(estimate(slates).error, rel=0.01)
        assert estimate(others).error < 0.5 * estimate(slates).error


def test_a_policy_without_overlap_is_refused_with_a_sentence():
    """One that is far from the log, one whose items the log never shows, and no slates at all."""
    random, half = np.random.default_rng(4), np.arange(ITEMS) < ITEMS // 2
    visits = Visits(2_000, random)
    far = judge(log(visits, LOGGED, Policy(0.05, -5.0 * np.arange(ITEMS)), random))
    assert isinstance(far, Refusal)
    assert "An estimate needs 800" in far.sentence
    partly = judge(log(visits, replace(LOGGED, only=np.arange(ITEMS) > 1), LOGGED, random))
    assert isinstance(partly, Refusal)
    assert "shows items that the log does not have" in partly.sentence
    never = judge(log(visits, replace(LOGGED, only=~half), replace(LOGGED, only=half), random))
    assert isinstance(never, Refusal)
    none = ExploredSlates(np.zeros(0, int), *np.zeros((6, 0, 4)))
    assert judge(none).sentence.startswith("No slate explored.")


def test_intervals_of_95_per_cent_contain_the_truth():
    """Of 60 judged policies. As many may miss it as 95 % lets expect once in 100 times."""
    random, contained = np.random.default_rng(46), []
    everyone = Visits(20_000, random)
    logged_truth = true_rewards(everyone, LOGGED, random)
    while len(contained) < 60:
        policy = random_policy(random)
        found = judge(log(Visits(2_000, random), LOGGED, policy, random))
        if isinstance(found, Refusal):
            continue
        truth, before = (each[: found.places].sum() for each in (true_rewards(everyone, policy, random), logged_truth))
        estimates = found.inverse_propensity, found.self_normalised, found.doubly_robust
        contained.append([each.low < truth < each.high for each in estimates])
        contained[-1].append(found.difference.low < truth - before < found.difference.high)
    assert (np.sum(contained, axis=0) >= binom.ppf(0.01, 60, 0.95)).all()
