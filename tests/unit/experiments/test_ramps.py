"""Each ramp starts a window of reports. The windows of an experiment share its 5 % of false alarms."""

import math
from functools import partial

import numpy as np
import pandas as pd
import pytest

from recsys.experiments import changes
from recsys.experiments.definition import checked
from recsys.experiments.document import ExperimentsDocument
from training.experiments import sample_ratio
from training.experiments.confidence_sequence import ALPHA, half_width
from training.experiments.experiment_page import lift_table
from training.experiments.reading import ALL, read
from training.experiments.user_rows import FIGURES, UserRows
from training.experiments.window import window_of

DAY = 86_400.0
RAMPS, LOOKS = (0.25, 0.5, 0.75, 1.0), (1, 3, 8)
"""The steps of an experiment, and the days of each step at whose end a report is read."""

USERS = 1_500


def window_after(steps):
    """The window of the last of some ramps, at its end. Each step has as many days as the last look."""
    definition = checked({"name": "look", "arms": {"new": {"share": 0.5}}})
    document = changes.start(changes.create(ExperimentsDocument(), definition, DAY), "look", DAY)
    for number, part in enumerate(RAMPS[:steps]):
        document = changes.ramp(document, "look", part, (2 + number * LOOKS[-1]) * DAY)
    return window_of(document.experiments["look"], (2 + steps * LOOKS[-1]) * DAY)


def drawn_users(draw, count):
    """Users: the place that decides the arm, slates a day and the click rate. A few users have most slates."""
    return np.stack([draw.random(count), draw.lognormal(0.0, 2.0, count), draw.beta(2, 2, count)])


def rows_at_looks(draw, window, users):
    """The rows of users at each look. On one day a user clicks nearly always or nearly never."""
    place, often, rate = users
    table = {"user_id": np.arange(USERS), "surface": "home", "conversions": 0, "not_served": 0}
    rows = pd.DataFrame(table | {"arm": np.where(place < window.shares["new"], "new", "control"), "first": np.inf})
    rows["slates"] = rows["clicks"] = 0
    for day in range(1, LOOKS[-1] + 1):
        slates = draw.poisson(0.5 * often * draw.gamma(0.5, 2.0, USERS))
        at = np.where(slates > 0, window.since + DAY * (day - draw.random(USERS)), np.inf)
        rows["slates"] += slates
        rows["clicks"] += draw.binomial(slates, draw.beta(0.3 * rate, 0.3 * (1 - rate)))
        rows["first"] = np.minimum(rows["first"], at)
        if day in LOOKS:
            yield UserRows(rows[rows["slates"] > 0], pd.DataFrame(columns=["user_id", "surface", *FIGURES]), 0, 0)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_the_level_of_each_window(number):
    """The k-th window has 6 / (π² k²) of both levels: its interval is wider, and the report says by which level."""
    window, part = window_after(number), 6 / (math.pi * number) ** 2
    draw = np.random.default_rng(1)
    *_, rows = rows_at_looks(draw, window, drawn_users(draw, USERS))
    reading = read(rows, window, "click")
    assert (reading.window, reading.level) == (number, pytest.approx(ALPHA * part))
    assert reading.sample_ratio.level == pytest.approx(sample_ratio.ALPHA * part)
    groups = [reading.segments[ALL].groups[name] for name in ("control", "new")]
    errors = [group.errors["click"] / group.rates["click"] for group in groups]
    lift, error = reading.segments[ALL].lifts["new"]["click"], math.hypot(*errors)
    assert math.log((1 + lift.high) / (1 + lift.low)) == pytest.approx(2 * half_width(error, ALPHA * part), rel=0.02)
    assert f"window {number} of the experiment" in lift_table(reading).note
    assert f"{reading.level:.2%}" in lift_table(reading).note


def test_a_start_after_a_pause_is_a_window_and_a_pause_is_none():
    """Only changes after which arms have users start one."""
    document = changes.create(ExperimentsDocument(), checked({"name": "look", "arms": {"new": {"share": 0.5}}}), 0)
    numbers = []
    for change in (changes.start, partial(changes.ramp, part=0.5), changes.pause, changes.start):
        document = change(document, "look", now=DAY * (1 + len(document.experiments["look"].changes)))
        if any(each.shares for each in document.experiments["look"].changes):
            numbers.append(window_of(document.experiments["look"], 9 * DAY).number)
    assert numbers == [1, 1, 2]
