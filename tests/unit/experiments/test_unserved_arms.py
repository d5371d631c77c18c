"""A/A tests in which the arm of some users can't be served: reports by the assigned arm show no difference."""

import math

import numpy as np
import pyarrow as pa

from training.experiments.confidence_sequence import ALPHA
from training.experiments.day_sums import SHOWN, day_sums, slates_of
from training.experiments.reading import ALL, read
from training.experiments.user_rows import user_rows
from training.experiments.verdict import judge
from training.experiments.window import Window

EXPERIMENTS, USERS, DAYS = 50, 500, 2
WINDOW = Window(since=0.0, until=DAYS, before=-DAYS, start=0.0, shares={"control": 0.5, "new": 0.5})


def shown(draw, assigned):
    """Shown items of each day of an A/A test, one item a slate, as `drain` writes them.

    A few users have most slates, users who come often click more, and a user's clicks come together on a day. The arm
    can't be served to the tenth of its users who click most, in nine of ten slates. assigned: whether the files have
    the assigned arm; otherwise they are those of the release before.
    """
    often = draw.lognormal(0.0, 1.0, USERS)
    rate = draw.beta(0.8, 3.2, USERS) ** (1 / (1 + often / 4))
    arm = np.where(draw.random(USERS) < 0.5, "look=new", "look=control")
    new = arm == "look=new"
    refused = new & (rate >= np.quantile(rate[new], 0.9))
    for day in range(DAYS):
        user = np.repeat(np.arange(USERS), draw.negative_binomial(2, 1 / (1 + often)))
        mood = draw.beta(3 * rate, 3 * (1 - rate))
        label = draw.random(len(user)) < mood[user]
        served = np.where(refused[user] & (draw.random(len(user)) < 0.9), "", arm[user])
        columns = {
            "impression": [f"{day}-{number}" for number in range(len(user))],
            "user_id": user.astype(str),
            "time": day + draw.random(len(user)),
            "surface": np.full(len(user), "home"),
            "label": label,
            "event_types": [[]] * len(user),
            "arms": served,
            "assigned": arm[user] if assigned else pa.nulls(len(user), pa.string()),
        }
        yield pa.table([pa.array(columns[each.name], each.type) for each in SHOWN], schema=SHOWN)


def share_with_a_difference(experiments, assigned):
    """The share of A/A tests of which some daily look shows a difference or a broken ratio, and the mean lift."""
    differ, lifts = 0, []
    for seed in range(experiments):
        days = [
            day_sums(slates_of(table, ()), "look", WINDOW)
            for table in shown(np.random.default_rng([59, seed]), assigned)
        ]
        readings = [read(user_rows(days[: look + 1], WINDOW.groups), WINDOW, "click") for look in range(DAYS)]
        differ += any(judge(each).words["new"] in ("better", "worse", "broken") for each in readings)
        lifts.append(readings[-1].segments[ALL].lifts["new"]["click"].value)
    return differ / experiments, float(np.mean(lifts))


def test_an_arm_that_can_not_be_served_to_its_best_users_shows_no_difference():
    """By the assigned arm at most 5 % and two standard errors of 50 A/A tests differ."""
    share, lift = share_with_a_difference(EXPERIMENTS, assigned=True)
    assert share <= ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / EXPERIMENTS)
    assert abs(lift) < 0.03


def test_by_the_served_arm_these_experiments_show_a_loss_that_is_none():
    """The files of the release before allow no more: the arm loses its best users, and the control keeps them."""
    _, lift = share_with_a_difference(20, assigned=False)
    assert lift < -0.1
