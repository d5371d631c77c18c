"""What a proof shows: paired differences of reward (clicks per slate) between conditions, with 95 % intervals."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table
from scipy.stats import t

from recsys.types import F64
from training.report.charts import chart, limit
from training.simulation.conditions import FIRST_LOG, LOOP, UNCORRECTED, UNEXPLORED, Condition, Day
from training.simulation.proof import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Reward = Callable[[Sequence[Day]], float]
"""The reward of some days of one seed."""


def reward(days: Sequence[Day]) -> float:
    """Clicks per slate."""
    return sum(day.clicks for day in days) / sum(day.slates for day in days)


def reward_of_new(days: Sequence[Day]) -> float:
    """Clicks per slate on items that appeared since the first day."""
    return sum(day.new_clicks for day in days) / sum(day.slates for day in days)


def unexplored_reward(days: Sequence[Day]) -> float:
    """Clicks per slate that did not explore."""
    return sum(day.clicks - day.explored_clicks for day in days) / sum(day.slates - day.explored for day in days)


@dataclass(frozen=True, slots=True)
class Interval:
    """The mean of differences of seeds, and its interval of 95 % by Student's t."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, differences: F64) -> Interval:
        """The interval of the differences of two seeds or more: [seeds]."""
        mean, count = float(differences.mean()), len(differences)
        half = float(t.ppf(0.975, count - 1) * differences.std(ddof=1) / np.sqrt(count))
        return cls(mean, mean - half, mean + half)

    def __str__(self) -> str:
        return f"{self.mean:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


def tables(results: Results) -> tuple[Table, Table]:
    """What the loop has more than each other condition; price and gain of exploration by day."""
    made = Table(
        "condition",
        "clicks per slate",
        "the loop has more",
        "on new items",
        "the loop has more",
        "forced nights",
        "longest training",
    )
    for condition in (LOOP, FIRST_LOG, UNEXPLORED, UNCORRECTED):
        seeds, cells = results[condition.name], list[str]()
        each = [day for days in seeds for day in days]
        for measure in (reward, reward_of_new):
            cells.append(f"{np.mean([measure(days) for days in seeds]):.4f}")
            cells.append("" if condition == LOOP else str(paired(results, condition, measure)))
        forced, longest = (sum(bool(day.forced) for day in each), max(day.training for day in each))
        made.add_row(condition.name, *cells, str(forced), f"{longest:.0f} s")
    days = Table("day", *LINES)
    for number, found in enumerate(zip(*by_day(results), strict=True), start=1):
        days.add_row(str(number), *map(str, found))
    return made, days


def paired(results: Results, other: Condition, measure: Reward) -> Interval:
    """How much more the loop has than another condition, seed by seed."""
    both = zip(results[LOOP.name], results[other.name], strict=True)
    return Interval.of(np.array([measure(ours) - measure(theirs) for ours, theirs in both]))


def faults(results: Results) -> list[str]:
    """Why the loop is not proved to be better than the first log alone; empty if it is."""
    parts = ("clicks per slate", reward), ("clicks per slate on new items", reward_of_new)
    found = [(name, paired(results, FIRST_LOG, measure)) for name, measure in parts]
    return [f"{name}: the interval of the loop minus the first log is {each}." for name, each in found if each.low <= 0]


LINES = "price: slates that explore", "gain: other slates", "gain on new items"
"""What `by_day` returns of each day."""


def by_day(results: Results) -> tuple[list[Interval], list[Interval], list[Interval]]:
    """Price and gain of exploration on each day.

    Price: the loop's reward of all slates minus that of slates that did not explore. Gain: that of the latter minus
    that of the loop without exploration. Their sum is what the loop has more. The gain on new items is that of all.
    """
    price, gain, new = list[Interval](), list[Interval](), list[Interval]()
    for day in range(len(results[LOOP.name][0])):
        ours, theirs = ([days[day : day + 1] for days in results[each.name]] for each in (LOOP, UNEXPLORED))
        pairs = [*zip(ours, theirs, strict=True)]
        price.append(Interval.of(np.array([reward(each) - unexplored_reward(each) for each in ours])))
        gain.append(Interval.of(np.array([unexplored_reward(loop) - reward(other) for loop, other in pairs])))
        new.append(Interval.of(np.array([reward_of_new(loop) - reward_of_new(other) for loop, other in pairs])))
    return price, gain, new


def write_picture(results: Results, path: Path) -> None:
    """Draw price and gain of exploration by day as an SVG file."""
    found = by_day(results)
    days = np.arange(1, len(found[0]) + 1)

    def draw(axes: Axes) -> None:
        for shift, intervals, label in zip((-0.15, 0, 0.15), found, LINES, strict=True):
            means = [each.mean for each in intervals]
            axes.errorbar(days + shift, means, [each.high - each.mean for each in intervals], fmt="o-", label=label)
        limit(axes, "", 0.0)
        axes.legend(loc="upper left")

    made = chart("", draw, (7.4, 3.4), legend=False, xlabel="day", ylabel="clicks per slate, difference", xticks=days)
    path.write_bytes(base64.b64decode(made.source.partition(",")[2]))
