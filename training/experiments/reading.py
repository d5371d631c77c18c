"""The figures of an experiment: of control and each arm, on all surfaces and on each, and each arm's lift.

The lift of an arm is the relative difference of its clicks (or conversions) per slate from the control's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from recsys.experiments.definition import CONTROL
from recsys.types import F64
from training.experiments import confidence_sequence, sample_ratio
from training.experiments.confidence_sequence import LEAST_TAKEN, LEAST_USERS
from training.experiments.ratio import Moments, Ratio, adjusted, lift, ratio
from training.experiments.user_rows import NOT_SERVED, UserRows
from training.experiments.window import Window

Metric = Literal["click", "conversion"]

NUMERATORS: Mapping[Metric, str] = {"click": "clicks", "conversion": "conversions"}
"""The figure of a user that each metric counts."""

ALL = "all"
"""The name of all surfaces together."""

ROUNDING = 1e-9
"""The share of the control, 1 less the sum of the arms' shares, may differ from 0 by as much."""


@dataclass(frozen=True)
class MeasuredLift:
    """The relative lift, 0.02 for 2 % more than the control, with the bounds of the confidence sequence.

    adjusted: whether CUPED used the figures of the period before.
    """

    value: float
    low: float
    high: float
    adjusted: bool


@dataclass(frozen=True)
class GroupFigures:
    """The users of control or of an arm. counts: clicks and conversions. rates: the same per slate.

    errors: the standard error of each rate; 0 for fewer than two users. not_served_slates: slates that the control
    made, because the arm could not be served. not_served_users: users with such a slate.
    """

    users: int
    slates: int
    counts: Mapping[Metric, int]
    rates: Mapping[Metric, float]
    errors: Mapping[Metric, float]
    not_served_slates: int
    not_served_users: int

    def enough(self, metric: Metric) -> bool:
        """Whether an interval covers with so many users and clicks."""
        return self.users >= LEAST_USERS and self.counts[metric] >= LEAST_TAKEN


@dataclass(frozen=True)
class Segment:
    """groups: by name, control first. lifts: by arm and metric; None with too few users or clicks."""

    groups: Mapping[str, GroupFigures]
    lifts: Mapping[str, Mapping[Metric, MeasuredLift | None]]


@dataclass(frozen=True)
class SampleRatio:
    """Users by group, those that the shares call for, the sequential p-value, and that of one chi-square test.

    level: the sequential p-value below which the ratio is broken in this window.
    """

    users: Mapping[str, int]
    expected: Mapping[str, float]
    p: float
    fixed_p: float
    level: float


@dataclass(frozen=True)
class Reading:
    """An experiment as read at one moment. segments: all surfaces together (ALL), and each of several by its name.

    sample_ratio: None where the caller assigns users, the shares changed inside the window, or one group has all users.
    window: its number in the experiment. level: the probability that some interval of this window misses the lift.
    one_assignment: whether the shares did not change. crossed, unknown, by, assigned_since, left_out: as of `UserRows`.
    """

    primary: Metric
    segments: Mapping[str, Segment]
    window: int
    level: float
    sample_ratio: SampleRatio | None
    one_assignment: bool
    crossed: int
    unknown: int
    by: Literal["assigned", "served"]
    assigned_since: float | None
    left_out: int


def read(rows: UserRows, window: Window, primary: Metric, by_salt: bool = True) -> Reading:
    """Read an experiment. by_salt: False where the caller assigns users."""
    names = {ALL: None, **{surface: surface for surface in rows.surfaces if len(rows.surfaces) > 1}}
    users = {name: rows.of(surface) for name, surface in names.items()}
    level = confidence_sequence.ALPHA * window.level_share
    segments = {name: _segment(table, window.groups, level) for name, table in users.items()}
    checked = _sample_ratio(users[ALL]["arm"], window) if by_salt and window.one_assignment else None
    left_out = rows.crossed, rows.unknown, rows.by, rows.assigned_since, rows.left_out
    return Reading(primary, segments, window.number, level, checked, window.one_assignment, *left_out)


def _segment(users: pd.DataFrame, names: Sequence[str], level: float) -> Segment:
    """The figures of groups. level: of the intervals of all arms together."""
    tables = {name: users[users["arm"] == name] for name in names}
    groups = {name: _figures(table) for name, table in tables.items()}
    alpha = level / max(1, len(names) - 1)
    lifts = {
        name: {
            metric: _lift(tables[CONTROL], tables[name], metric, alpha)
            if groups[name].enough(metric) and groups[CONTROL].enough(metric)
            else _lift_of_few(groups[CONTROL], groups[name], metric, alpha)
            for metric in NUMERATORS
        }
        for name in names
        if name != CONTROL
    }
    return Segment(groups, lifts)


def _figures(users: pd.DataFrame) -> GroupFigures:
    slates = int(users["slates"].sum())
    counts = {metric: int(users[figure].sum()) for metric, figure in NUMERATORS.items()}
    rates = {metric: count / max(1, slates) for metric, count in counts.items()}
    errors = {
        metric: float(np.sqrt(ratio(Moments.of(_values(users, metric))).variance)) if len(users) > 1 else 0.0
        for metric in NUMERATORS
    }
    not_served = users[NOT_SERVED]
    return GroupFigures(len(users), slates, counts, rates, errors, int(not_served.sum()), int((not_served > 0).sum()))


def _lift(control: pd.DataFrame, arm: pd.DataFrame, metric: Metric, alpha: float) -> MeasuredLift:
    """The lift, by CUPED where both groups have LEAST_USERS users with slates of the period before."""
    before = min((group["slates_before"] > 0).sum() for group in (control, arm)) >= LEAST_USERS
    moments = [Moments.of(_values(group, metric, before)) for group in (control, arm)]
    base, changed = adjusted(*moments) if before else map(ratio, moments)
    found = lift(base, changed)
    low, high = confidence_sequence.interval(found, alpha)
    return MeasuredLift(float(np.expm1(found.log)), low, high, bool(before))


def _lift_of_few(control: GroupFigures, arm: GroupFigures, metric: Metric, alpha: float) -> MeasuredLift | None:
    """The lift of an arm with far fewer clicks than the control's rate lets expect; None if few were expected."""
    if not control.enough(metric) or arm.users < LEAST_USERS or arm.slates * control.rates[metric] < LEAST_TAKEN:
        return None
    base, changed = (Ratio(group.rates[metric], group.errors[metric] ** 2) for group in (control, arm))
    low, high = confidence_sequence.interval_of_few(base, changed, arm.slates / control.slates, alpha)
    return MeasuredLift(changed.value / base.value - 1, low, high, False)


def _sample_ratio(arms: pd.Series, window: Window) -> SampleRatio | None:
    """arms: the group of each user, in the order of first slates. None if one group has all users.

    Groups without a share are left out, such as the control beside arms of all users.
    """
    shares = {group: part for group, part in window.shares.items() if part > ROUNDING}
    if len(shares) < 2:
        return None
    arms, groups, parts = arms[arms.isin(shares)], list(shares), list(shares.values())
    users = {group: int((arms == group).sum()) for group in groups}
    expected = {group: len(arms) * part / sum(parts) for group, part in shares.items()}
    p = sample_ratio.sequential_p(arms.map(groups.index).to_numpy(np.int64), parts)
    fixed_p = sample_ratio.fixed_p([*users.values()], parts) if len(arms) else 1.0
    return SampleRatio(users, expected, p, fixed_p, sample_ratio.ALPHA * window.level_share)


def _values(users: pd.DataFrame, metric: Metric, before: bool = False) -> F64:
    """Users' figures for `Moments`: [n, 2], or [n, 4] with those of before."""
    columns = [NUMERATORS[metric], "slates"]
    if before:
        columns += [f"{name}_before" for name in columns]
    values: F64 = users[columns].to_numpy(np.float64)
    return values
