"""Draw rows of served slates (ordered lists of recommended items) for statistics that need independent rows.

Slates of one user depend on each other, and so do the items of a slate. So one item of one slate of each user is
drawn. Users who come often are on more days: a week has a smaller share of them than a day. So each user is assigned
one of the days, and counts if there is a slate on that day. Hashes draw, so that a second run draws the same rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
import pandas as pd

from recsys.kernels.recent_events import WINDOWS
from recsys.retrieval.registry import SOURCES
from recsys.types import I64
from training.read.impressions import PREFIX

DRAW, CONTEXT, SOURCE = "draw", "context.", "source."

NUMBERS = (PREFIX, "score")
"""The beginnings of names of columns of numbers. All other columns are of categories."""

PLACES = 5
"""Places of a slate from which items are drawn. Slates have different lengths, and nearly all have five items."""

ITEM_COLUMNS = "impression", "user_id", "generation", "time", "asked", "mode", "surface", "item_id", "place", "score"

LEFT_OUT = tuple(f"{PREFIX}{name}" for name in ("from_", "lift_daypart", "lift_weekend", *WINDOWS))
"""Features that are not compared: `source.NAME` is the same as from_NAME, lifts of the clock differ by weekday, and
event counts (WINDOWS) by what is popular in the hour."""

WARM = 10
"""Events in the history of a warm user, at least."""


def is_number(column: str) -> bool:
    """Whether a column is of numbers."""
    return column.startswith(NUMBERS)


def draw(shown: pd.DataFrame, start: float, seconds: float, windows: int) -> pd.DataFrame:
    """One row for each user: an item of a slate within the user's window.

    shown: a row for each shown item, with ITEM_COLUMNS, `sources` and features. start: of the first window, unix
    seconds. The column `first_item` is the item at the slate's first place. `score` is the distance from the slate's
    mean: the loss of the ranker leaves the level of a slate's scores open.
    """
    users = hashes(shown["user_id"])
    window = np.floor((shown["time"].to_numpy(np.float64) - start) / seconds)
    kept = shown[(window == users % np.uint64(windows)) & (shown["place"] < PLACES)]
    if kept.empty:
        return pd.DataFrame(kept.assign(**{DRAW: [], "first_item": []}))
    of_slate = kept.groupby("impression", sort=False)
    first = kept.loc[of_slate["place"].idxmin(), ["impression", "item_id"]].set_index("impression")["item_id"]
    kept = kept.assign(
        draw=hashes(kept["impression"]),
        item_draw=hashes(kept["impression"] + "/" + kept["item_id"]),
        first_item=kept["impression"].map(first),
        score=kept["score"] - of_slate["score"].transform("mean"),
    )
    return one_of_each_user([kept.sort_values([DRAW, "item_draw"], kind="stable").drop(columns="item_draw")])


def one_of_each_user(drawn: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The row of each user that comes first by the draw. drawn: rows of several files."""
    rows = pd.concat(list(drawn), ignore_index=True)
    return rows.sort_values(DRAW, kind="stable").drop_duplicates("user_id").reset_index(drop=True)


def columns_to_compare(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns that are compared: score, features, and as text the sources, the items, mode, surface and context.

    rows: as `draw` returns them.
    """
    named_by = rows["sources"].str.split(",")
    flags = pd.DataFrame(
        {f"{SOURCE}{each.name}": named_by.map(lambda names, name=each.name: str(name in names)) for each in SOURCES}
    )
    numbers = [name for name in map(str, rows) if is_number(name) and not name.startswith(LEFT_OUT)]
    texts = [name for name in ("mode", "surface", "first_item") if name in rows]
    named = rows[texts].fillna("").astype(str).assign(item=rows["item_id"].astype(str))
    return pd.concat([rows[numbers], named, flags, _contexts(rows)], axis=1)


def _contexts(rows: pd.DataFrame) -> pd.DataFrame:
    """The context of each request: a column for each value that was sent, empty where it was not."""
    if "context" not in rows:
        return pd.DataFrame(index=rows.index)
    sent = [json.loads(text) for text in rows["context"].fillna("{}")]
    return pd.DataFrame(sent, index=rows.index, dtype=object).fillna("").add_prefix(CONTEXT)


def segments(rows: pd.DataFrame) -> dict[str, I64]:
    """The places of the rows of each mode and surface, and of warm and of cold users."""
    found = {
        f"{column} {value}": np.flatnonzero(rows[column] == value)
        for column in ("mode", "surface")
        if column in rows
        for value in sorted(rows[column].unique())
    }
    warm = np.expm1(rows[f"{PREFIX}history_length"].to_numpy(np.float64)) >= WARM - 0.5
    return found | {"warm users": np.flatnonzero(warm), "cold users": np.flatnonzero(~warm)}


def hashes(texts: pd.Series) -> np.ndarray:
    """A number of 64 bits for each text, the same in each run."""
    return pd.util.hash_array(texts.to_numpy(object), categorize=True)
