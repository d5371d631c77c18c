"""Sums of slates for an experiment: a row for each file of slates, user, surface and arm, in the window and before.

The sums of files without a common slate add up. So a report reads each file of shown items once and keeps the sums.
A click is a slate of which the user took an item in time. A conversion is such a slate with an event of a target type.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from training.experiments.window import Window
from training.read.impressions import some_columns

SHOWN = some_columns("impression", "user_id", "time", "surface", "label", "event_types", "arms", "assigned")
"""The columns of shown items that the sums need."""

SUMS = pa.schema(
    [
        ("user_id", pa.string()),
        ("surface", pa.string()),
        ("before", pa.bool_()),
        ("logged", pa.bool_()),
        ("arm", pa.string()),
        ("served", pa.string()),
        ("first", pa.float64()),
        ("last", pa.float64()),
        ("slates", pa.int64()),
        ("clicks", pa.int64()),
        ("conversions", pa.int64()),
        ("part", pa.string()),
    ]
)
"""before: whether the slates are of the period before; those have no arms. arm, served: the assigned arm and the one
that made the slates; null without one. logged: whether the files have the assigned arm, which the release before did
not log. first, last: the times of the first and of the last slate. part: the file of the slates, where sums are kept.
Slates of the window without an arm have no user."""

_SLATE = ["impression", "user_id", "time", "surface", "arms", "assigned"]
_GROUP = ["user_id", "surface", "before", "logged", "arm", "served"]
_PART = "part"


def slates_of(shown: pa.Table, targets: Sequence[str]) -> pd.DataFrame:
    """The slates of shown items: _SLATE, click and conversion. targets: types of conversions; all types if empty.

    A slate may be in two files, after a drain was killed. With a column `part` the slates of each part are apart.
    """
    converted = pc.fill_null(shown["label"], False)
    if targets:
        wanted = pc.is_in(pc.list_flatten(shown["event_types"]), pa.array(targets, pa.string()))
        rows = pc.filter(pc.list_parent_indices(shown["event_types"]), wanted)
        converted = pa.array(np.isin(np.arange(len(shown)), rows.to_numpy()))
    by = [name for name in (*_SLATE, _PART) if name in shown.column_names]
    items = shown.select([*by, "label"]).append_column("converted", converted)
    found = items.group_by(by).aggregate([("label", "max"), ("converted", "max")])
    slates: pd.DataFrame = found.rename_columns([*by, "click", "conversion"]).to_pandas()
    return slates


def day_sums(slates: pd.DataFrame, experiment: str, window: Window) -> pd.DataFrame:
    """The sums of some slates, with the columns SUMS; without `part` where the slates have none."""
    earlier = slates[slates["time"].between(window.before, window.start, inclusive="left")]
    during = slates[slates["time"].between(window.since, window.until, inclusive="left")]
    arms = {"arm": _arms(during["assigned"], experiment), "served": _arms(during["arms"], experiment)}
    during = during.assign(before=False, logged=during["assigned"].notna(), **arms)
    nameless = during["arm"].isna() & during["served"].isna()
    during.loc[nameless, ["user_id", "surface"]] = ""
    # A report leaves out the slates until the last one without an assigned arm: no row has slates of both sides.
    until = during["time"] <= during.loc[~during["logged"], "time"].max()
    parts = [earlier.assign(before=True, logged=False, arm=None, served=None), during[until], during[~until]]
    return together([_sums(part) for part in parts])


def together(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The sums of some parts, which have no slate in common, below each other."""
    some = [part for part in parts if len(part)]
    return pd.concat(some, ignore_index=True) if some else SUMS.empty_table().to_pandas()


def _sums(slates: pd.DataFrame) -> pd.DataFrame:
    named = {"first": ("time", "min"), "last": ("time", "max"), "slates": ("time", "size")}
    taken = {"clicks": ("click", "sum"), "conversions": ("conversion", "sum")}
    by = [name for name in (*_GROUP, _PART) if name in slates]
    return slates.groupby(by, as_index=False, dropna=False).agg(**named, **taken)


def _arms(texts: pd.Series, experiment: str) -> pd.Series:
    """The experiment's arm of each text such as `NAME=ARM,NAME=ARM`, None without one."""
    arm = rf"(?:^|,){re.escape(experiment)}=([^,]+)"
    return texts.astype("string").str.extract(arm)[0].astype(object)
