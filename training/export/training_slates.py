"""Slates (ordered lists of recommended items) of the model that a training exports, as a part of its generation.

The flow `drift` compares served slates with them. The model answers users of the log's last weeks, each at the moment
of one event of the user, as serving would in mode realtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recsys.generation.content_checks import readable
from recsys.generation.manifest import GenerationFolder
from recsys.model.features import names
from recsys.model.ranker import RankerNet
from recsys.retrieval.registry import SOURCES, names_of
from recsys.types import I64
from training.encode.interaction_log import DAY, Log
from training.export.drawn_rows import draw, hashes
from training.fit.first_stage import FirstStage
from training.judge.replayed_impressions import replay
from training.judge.replayed_slates import ReplayedService
from training.read.impressions import columns_of

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
    shown = replay(ReplayedService.of(log, stage, net, log), log, _one_event_a_user(log, start))
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
