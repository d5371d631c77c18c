"""Slates (ordered lists of recommended items) of the model that a training exports, as a part of its generation.

The flow `drift` compares served slates with them. The model answers users of the log's last weeks, each at the moment
of one event of the user, as serving would in mode realtime.

Statistics need independent rows, but slates of one user depend on each other, and so do the items of a slate. So one
item of one slate of each user is drawn. Users who come often are on more days: a week has a smaller share of them than
a day. So each user is assigned one of the days, and counts if there is a slate on that day. Hashes draw, so that a
second run draws the same rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recsys.generation.content_checks import readable
from recsys.generation.manifest import GenerationFolder
from recsys.kernels.recent_events import WINDOWS
from recsys.model.features import names
from recsys.model.ranker import RankerNet
from recsys.retrieval.registry import SOURCES, names_of
from recsys.types import I64
from training.encode.interaction_log import DAY, Log
from training.fit.first_stage import FirstStage
from training.judge.replay import ReplayedModel
from training.judge.replayed_impressions import replay
from training.read.impressions import PREFIX, columns_of

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


PART = "training_slates.npy"

DAYS = 28
"""The last days of the log whose users are answered. Each user counts on one of them, as in `drawn_rows`."""

MOST = 2_000
"""Users, at most. The part has 0.5 MB then, and a PSI of ten bins an error of 0.005."""

ROW = [("item", "<i4"), ("first_item", "<i4"), ("score", "<f4"), ("sources", "<u2")]
"""The columns of a row before its features."""


def make(log: Log, stage: FirstStage, net: RankerNet) -> np.ndarray:
    """One shown item for each of at most MOST users: an array of `_row_type`."""
    start = log.end - DAYS * DAY
    shown = replay(ReplayedModel.of(log, stage, net, log), log, _one_event_a_user(log, start))
    rows = draw(shown, start, DAY, DAYS)
    row_of = {str(name): row for row, name in enumerate(log.catalogue.ids)}
    flags = {each.name: each.flag for each in SOURCES}
    columns = columns_of(names(log.catalogue.spec))
    found = np.zeros(len(rows), _row_type(columns))
    for name, column in (("item", "item_id"), ("first_item", "first_item")):
        found[name] = [row_of[item] for item in rows[column]]
    found["sources"] = [sum(flags[name] for name in filter(None, text.split(","))) for text in rows["sources"]]
    found["score"], found["features"] = rows["score"], rows[columns].to_numpy(np.float32)
    return found


def save(folder: Path, rows: np.ndarray) -> None:
    """Write the rows as a part of a generation."""
    np.save(folder / PART, rows)


def read(folder: GenerationFolder) -> pd.DataFrame | None:
    """The rows in a generation, as `drawn_rows.draw` returns them; None if the generation has none that fit.

    GenerationError if the part is damaged.
    """
    if PART not in folder.manifest.parts:
        return None
    columns = columns_of(names(folder.spec()))
    with readable(folder.manifest.id):
        found = np.load(folder.path / PART)
        if found.dtype != _row_type(columns):
            return None
        ids = folder.tables().ids
        items = {name: [ids[row] for row in found[name].tolist()] for name in ("item", "first_item")}
    sources = [",".join(names_of(flags)) for flags in found["sources"].tolist()]
    named = pd.DataFrame(
        {"item_id": items["item"], "first_item": items["first_item"], "score": found["score"], "sources": sources}
    )
    return pd.concat([named, pd.DataFrame(found["features"], columns=columns)], axis=1)


def _row_type(columns: Sequence[str]) -> np.dtype:
    """The type of a row with the features `columns`."""
    return np.dtype([*ROW, ("features", "<f4", len(columns))])


def _one_event_a_user(log: Log, start: float) -> I64:
    """The first touch of one event of each of at most MOST users on the user's day: ascending positions."""
    late = np.flatnonzero(log.times >= start)
    users = hashes(pd.Series(log.user_ids[log.users[late]]).astype(str))
    late = late[np.floor((log.times[late] - start) / DAY) == users % np.uint64(DAYS)]
    drawn = pd.DataFrame({"at": late, "user": log.users[late], "draw": hashes(pd.Series(late).astype(str))})
    first = drawn.sort_values("draw").drop_duplicates("user")[:MOST]
    return np.unique(log.first_touch[first["at"].to_numpy(np.int64)])
