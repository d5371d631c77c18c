"""Reports of experiments without a difference, read again and again: how often one shows a difference all the same."""

import numpy as np
import pandas as pd
from scipy.stats import binom

from training.experiments.reading import read
from training.experiments.user_rows import UserRows
from training.experiments.verdict import judge
from training.experiments.window import Window

EXPERIMENTS = 200
USERS_AT_LOOKS = np.array([750, 1_200, 2_000, 3_200, 5_000])
WINDOW = Window(since=0.0, until=1.0, before=-1.0, start=0.0, shares={"control": 0.5, "new": 0.5})


def looks(random):
    """The rows of users at each look at an experiment whose arm changes nothing.

    Users are no coins: few of them have most of the slates, which come in bursts, and clicks of a burst are alike.
    """
    here = np.arange(USERS_AT_LOOKS[-1]) < USERS_AT_LOOKS[:, None]
    users = pd.DataFrame({"user_id": np.arange(here.shape[1]), "surface": "home", "conversions": 0, "not_served": 0})
    users["first"] = users["user_id"] / len(users)
    arm = np.where(random.random(len(users)) < 0.5, "new", "control")
    rate, often = random.beta(0.3, 1.7, len(users)), 1 + random.pareto(3, len(users))
    slates = random.poisson(random.gamma(0.3, 2 * often, (1 + len(here), len(users))))
    slates[1:] *= here
    clicks = random.binomial(slates, random.beta(2 * rate, 2 * (1 - rate), slates.shape))
    before = users.assign(slates=slates[0], clicks=clicks[0])
    for look in range(2, len(slates) + 1):
        sums = users.assign(arm=arm, slates=slates[1:look].sum(axis=0), clicks=clicks[1:look].sum(axis=0))
        yield UserRows(sums[sums["slates"] > 0], before, crossed=0, unknown=0)


def test_experiments_without_a_difference_rarely_show_one_at_any_look():
    """Of 200, as many as the level of the window lets expect once in 100 times; and none breaks the sample ratio."""
    random, found = np.random.default_rng(44), []
    for _ in range(EXPERIMENTS):
        readings = [read(rows, WINDOW, "click") for rows in looks(random)]
        found.append([judge(each).words["new"] for each in readings])
    assert (np.array(found) == "no difference yet").mean() > 0.5
    alarms = np.isin(found, ["better", "worse", "broken"]).any(axis=1).sum()
    assert alarms <= binom.ppf(0.99, EXPERIMENTS, readings[0].level)
