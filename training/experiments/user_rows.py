"""Rows of users, from the files of shown items that `python -m flows drain` writes.

A row has a user's slates, clicks and conversions in one arm of an experiment, on one surface, and those of before.
A click is a slate of which the user took an item in time. A conversion is such a slate with an event of a target type.
The arm is the assigned one, also of slates that the control made because the arm could not be served (intention to
treat): without these slates the arm's users would be others than the control's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from training.experiments.window import Window

SCHEMA = pa.schema(
    [
        ("impression", pa.string()),
        ("user_id", pa.string()),
        ("time", pa.float64()),
        ("surface", pa.string()),
        ("label", pa.bool_()),
        ("event_types", pa.list_(pa.string())),
        ("arms", pa.string()),
        ("assigned", pa.string()),
    ]
)
"""The columns of shown items that the rows need."""

FIGURES = ["slates", "clicks", "conversions"]
BEFORE = [f"{name}_before" for name in FIGURES]

NOT_SERVED = "not_served"
"""The slates that the arm of their user did not serve."""

_SLATE = ["impression", "user_id", "time", "surface", "arms", "assigned"]
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


def slates_of(shown: pa.Table, targets: Sequence[str]) -> pd.DataFrame:
    """The slates of shown items: _SLATE, click and conversion. targets: types of conversions; all types if empty.

    A slate may be in two files, after a drain was killed.
    """
    converted = pc.fill_null(shown["label"], False)
    if targets:
        wanted = pc.is_in(pc.list_flatten(shown["event_types"]), pa.array(targets, pa.string()))
        rows = pc.filter(pc.list_parent_indices(shown["event_types"]), wanted)
        converted = pa.array(np.isin(np.arange(len(shown)), rows.to_numpy()))
    items = shown.select([*_SLATE, "label"]).append_column("converted", converted)
    found = items.group_by(_SLATE).aggregate([("label", "max"), ("converted", "max")])
    slates: pd.DataFrame = found.rename_columns([*_SLATE, "click", "conversion"]).to_pandas()
    return slates


def user_rows(days: Iterable[pd.DataFrame], experiment: str, window: Window) -> UserRows:
    """The rows of an experiment. days: slates, a table for each day, oldest first."""
    before, during = [], _WindowSlates(experiment)
    for slates in days:
        earlier = slates["time"].between(window.before, window.start, inclusive="left")
        before.append(_sums(slates[earlier], ["user_id", "surface"]))
        during.add(slates[slates["time"].between(window.since, window.until, inclusive="left")])
    return during.rows(window.groups, _together(before, ["user_id", "surface"], FIGURES))


class _WindowSlates:
    """The slates of a window. The release before logged the served arm alone: no report mixes both ways of counting.

    Slates until the last one without an assigned arm are left out. If no slate of the window has one, the served arms
    count, as in the release before.
    """

    def __init__(self, experiment: str) -> None:
        self._arm = rf"(?:^|,){re.escape(experiment)}=([^,]+)"
        self._assigned: list[pd.DataFrame] = []  # sums of each day, since the last slate without an assigned arm
        self._served: list[pd.DataFrame] = []  # sums of each day by the served arm
        self._any_assigned, self._left_out = False, 0
        self._since: float | None = None

    def add(self, slates: pd.DataFrame) -> None:
        """Add the slates of a day; days come oldest first."""
        slates = slates.assign(arm=self._arms(slates["assigned"]), served=self._arms(slates["arms"]))
        old = slates["assigned"].isna()
        self._any_assigned |= not old.all()
        if not self._any_assigned:
            self._served.append(_sums(slates.assign(arm=slates["served"], not_served=False), _GROUP, NOT_SERVED))
        if old.any():
            self._since = float(slates.loc[old, "time"].max())
            until = slates["time"] <= self._since
            taking = until & (slates["arm"].notna() | slates["served"].notna())
            self._left_out += sum(int(part["slates"].sum()) for part in self._assigned) + int(taking.sum())
            self._assigned.clear()
            slates = slates[~until]
        not_served = slates["arm"] != slates["served"]
        self._assigned.append(_sums(slates.assign(not_served=not_served), _GROUP, NOT_SERVED))

    def rows(self, groups: Sequence[str], before: pd.DataFrame) -> UserRows:
        """The rows of users in these groups. before: the rows of the period before."""
        served = self._since is not None and not self._any_assigned
        found = _together(self._served if served else self._assigned, _GROUP, [*FIGURES, NOT_SERVED])
        known = found["arm"].isin(groups)
        rows = found[known]
        crossing = rows.groupby("user_id")["arm"].transform("nunique") > 1
        crossed = rows.loc[crossing, "user_id"].nunique()
        counted = rows[~crossing], before, crossed, int(found.loc[~known, "slates"].sum())
        return UserRows(*counted, "served") if served else UserRows(*counted, "assigned", self._since, self._left_out)

    def _arms(self, texts: pd.Series) -> pd.Series:
        """The arm of each text, None without one."""
        return texts.astype("string").str.extract(self._arm)[0].astype(object)


def _sums(slates: pd.DataFrame, by: list[str], *more: str) -> pd.DataFrame:
    """The figures of slates by some columns. more: other columns to sum. Slates without an arm are left out."""
    named = {"first": ("time", "min"), "slates": ("time", "size")}
    taken = {"clicks": ("click", "sum"), "conversions": ("conversion", "sum")}
    return slates.groupby(by, as_index=False).agg(**named, **taken, **{name: (name, "sum") for name in more})


def _together(parts: Sequence[pd.DataFrame], by: list[str], figures: list[str]) -> pd.DataFrame:
    """The sums of all days."""
    empty = pd.DataFrame(columns=[*by, "first", *figures]).astype(dict.fromkeys(figures, np.int64) | {"first": float})
    joined = pd.concat([part for part in parts if len(part)] or [empty])
    return joined.groupby(by, as_index=False).agg({"first": "min", **dict.fromkeys(figures, "sum")})
