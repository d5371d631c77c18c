"""Rows of users, from the sums of days: a user's slates, clicks and conversions in one arm of an experiment.

The arm is the assigned one, also of slates that the control made because the arm could not be served (intention to
treat): without these slates the arm's users would be others than the control's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from training.experiments.day_sums import together

FIGURES = ["slates", "clicks", "conversions"]
BEFORE = [f"{name}_before" for name in FIGURES]

NOT_SERVED = "not_served"
"""The slates that the arm of their user did not serve."""

_GROUP = ["user_id", "arm", "surface"]


@dataclass(frozen=True)
class UserRows:
    """during: a row for each user and surface: _GROUP, first (the time of the first slate), FIGURES, NOT_SERVED.

    before: the same without an arm. crossed: users with slates of two arms, who are left out. unknown: slates of arms
    that the experiment does not have, or that are halted. by: whether arm is the assigned or the served one.
    assigned_since: the time of the last slate without an assigned arm; None without one. left_out: the experiment's
    slates until then.
    """

    during: pd.DataFrame
    before: pd.DataFrame
    crossed: int
    unknown: int
    by: Literal["assigned", "served"] = "assigned"
    assigned_since: float | None = None
    left_out: int = 0

    @property
    def surfaces(self) -> list[str]:
        """The surfaces, by name."""
        return sorted(self.during["surface"].unique())

    def of(self, surface: str | None = None) -> pd.DataFrame:
        """A row for each user by id, in the order of first slates: arm, first, FIGURES, NOT_SERVED and BEFORE.

        surface: None for the sums of all surfaces.
        """
        during, before = (
            table if surface is None else table[table["surface"] == surface] for table in (self.during, self.before)
        )
        sums = dict.fromkeys([*FIGURES, NOT_SERVED], "sum")
        rows = during.groupby("user_id").agg({"arm": "first", "first": "min", **sums})
        past = before.groupby("user_id")[FIGURES].sum().set_axis(BEFORE, axis="columns")
        return rows.join(past).fillna(dict.fromkeys(BEFORE, 0)).sort_values("first")


def user_rows(days: Iterable[pd.DataFrame], groups: Sequence[str]) -> UserRows:
    """The rows of users in these groups. days: the sums of each day, as `day_sums` makes them.

    The release before logged the served arm alone: no report mixes both ways of counting. Slates until the last one
    without an assigned arm are left out. If no slate has an assigned arm, the served arms count.
    """
    sums = together([*days])
    before = _by(["user_id", "surface"], sums[sums["before"]], FIGURES)
    during = sums[~sums["before"]]
    unlogged = during.loc[~during["logged"], "last"]
    if len(unlogged) == len(during) > 0:
        return _rows(during.assign(arm=during["served"], not_served=0), before, groups, "served", None, 0)
    since = float(unlogged.max()) if len(unlogged) else None
    late = during["first"] > (-np.inf if since is None else since)
    taking = during["arm"].notna() | during["served"].notna()
    left_out = int(during.loc[~late & taking, "slates"].sum())
    other = during["arm"] != during["served"]
    counted = during.assign(not_served=during["slates"].where(other, 0))[late]
    return _rows(counted, before, groups, "assigned", since, left_out)


def _rows(
    during: pd.DataFrame,
    before: pd.DataFrame,
    groups: Sequence[str],
    by: Literal["assigned", "served"],
    since: float | None,
    left_out: int,
) -> UserRows:
    """The rows of users in these groups. since, left_out: of `UserRows`."""
    found = _by(_GROUP, during, [*FIGURES, NOT_SERVED])
    known = found["arm"].isin(groups)
    rows = found[known]
    crossing = rows.groupby("user_id")["arm"].transform("nunique") > 1
    crossed, unknown = rows.loc[crossing, "user_id"].nunique(), int(found.loc[~known, "slates"].sum())
    return UserRows(rows[~crossing], before, crossed, unknown, by, since, left_out)


def _by(columns: list[str], sums: pd.DataFrame, figures: list[str]) -> pd.DataFrame:
    """The sums of all days by some columns. Rows without an arm are left out."""
    return sums.groupby(columns, as_index=False).agg({"first": "min", **dict.fromkeys(figures, "sum")})
