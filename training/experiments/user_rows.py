"""Rows of users, from the files of shown items that `python -m flows drain` writes.

A row has a user's slates, clicks and conversions in one arm of an experiment, on one surface, and those of before.
A click is a slate of which the user took an item in time. A conversion is such a slate with an event of a target type.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
    ]
)
"""The columns of shown items that the rows need."""

FIGURES = ["slates", "clicks", "conversions"]
BEFORE = [f"{name}_before" for name in FIGURES]

_SLATE = ["impression", "user_id", "time", "surface", "arms"]


@dataclass(frozen=True)
class UserRows:
    """during: a row for each user and surface: user_id, arm, surface, first (the time of the first slate), FIGURES.

    before: the same without an arm. crossed: users with slates of two arms, who are left out. unknown: slates of arms
    that the experiment does not have.
    """

    during: pd.DataFrame
    before: pd.DataFrame
    crossed: int
    unknown: int

    @property
    def surfaces(self) -> list[str]:
        """The surfaces, by name."""
        return sorted(self.during["surface"].unique())

    def of(self, surface: str | None = None) -> pd.DataFrame:
        """A row for each user by id, in the order of first slates: arm, first, FIGURES and BEFORE.

        surface: None for the sums of all surfaces.
        """
        during, before = (
            table if surface is None else table[table["surface"] == surface] for table in (self.during, self.before)
        )
        rows = during.groupby("user_id").agg({"arm": "first", "first": "min", **dict.fromkeys(FIGURES, "sum")})
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
    """The rows of an experiment. days: slates, a table for each day."""
    during, before, unknown = [], [], 0
    arm_in = rf"(?:^|,){re.escape(experiment)}=([^,]+)"
    for slates in days:
        earlier = slates["time"].between(window.before, window.start, inclusive="left")
        before.append(_sums(slates[earlier], ["user_id", "surface"]))
        now = slates[slates["time"].between(window.since, window.until, inclusive="left")]
        now = now.assign(arm=now["arms"].astype("string").str.extract(arm_in)[0].astype(object))
        now = now[now["arm"].notna()]
        known = now["arm"].isin(window.groups)
        unknown += int((~known).sum())
        during.append(_sums(now[known], ["user_id", "arm", "surface"]))
    rows = _together(during, ["user_id", "arm", "surface"])
    crossing = rows.groupby("user_id")["arm"].transform("nunique") > 1
    crossed = rows.loc[crossing, "user_id"].nunique()
    return UserRows(rows[~crossing], _together(before, ["user_id", "surface"]), crossed, unknown)


def _sums(slates: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """The figures of slates by some columns."""
    named = {"first": ("time", "min"), "slates": ("time", "size")}
    taken = {"clicks": ("click", "sum"), "conversions": ("conversion", "sum")}
    return slates.groupby(by, as_index=False).agg(**named, **taken)


def _together(parts: Sequence[pd.DataFrame], by: list[str]) -> pd.DataFrame:
    """The sums of all days."""
    empty = pd.DataFrame(columns=[*by, "first", *FIGURES]).astype(dict.fromkeys(FIGURES, np.int64) | {"first": float})
    joined = pd.concat([part for part in parts if len(part)] or [empty])
    return joined.groupby(by, as_index=False).agg({"first": "min", **dict.fromkeys(FIGURES, "sum")})
