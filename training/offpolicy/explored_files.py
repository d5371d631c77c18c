"""Read the slates that explored from the Parquet files of `python -m flows drain`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.dataset as ds

from recsys.lists import exploration_record
from recsys.user_digest import DeletedUsers
from training.offpolicy.logged_draws import LoggedSlate
from training.read.day_partitions import reading_parquet
from training.read.impressions import some_columns
from training.read.left_out_users import kept_rows
from training.read.locations import Location

_COLUMNS = some_columns(
    *("impression", "user_id", "generation", "time", "asked", "item_id", "place", "label", "arms", "context"),
    *("from_store", "dataset", "explored", "exploration"),
)


@dataclass(frozen=True, slots=True)
class WantedExploredSlates:
    """Which slates are read. dataset: of the generation that made them; None for all. since: of the request.

    most: slates, the newest. deleted: users whose slates before their deletion are left out.
    """

    dataset: str | None = None
    since: float = -np.inf
    most: float = np.inf
    deleted: DeletedUsers = field(default_factory=dict)


ALL = WantedExploredSlates()


def read(files: Iterable[Location], wanted: WantedExploredSlates = ALL) -> list[LoggedSlate]:
    """The explored slates of some files, each once, by impression. DatasetError names a file that can't be read.

    files: where `wanted.most` is finite, the newest first.
    """
    found: dict[str, LoggedSlate] = {}
    for file in files:
        if len(found) >= wanted.most:
            break
        rows = _rows(file, wanted)
        newest_first = rows.sort_values("asked", ascending=False, kind="stable")
        for name, slate in newest_first.groupby("impression", sort=False):
            if len(found) >= wanted.most:
                break
            if str(name) not in found and slate["exploration"].notna().any():
                found[str(name)] = _slate(slate)
    return [found[name] for name in sorted(found)]


def _slate(rows: pd.DataFrame) -> LoggedSlate:
    """The slate of its rows."""
    rows = rows.drop_duplicates("item_id")
    first, draws = rows.iloc[0], exploration_record.unpack(rows["exploration"].dropna().iloc[0])
    items, taken = [""] * len(draws.admitted), np.zeros(len(draws.admitted))
    for item, place, label in zip(rows["item_id"], rows["place"], rows["label"], strict=True):
        items[place], taken[place] = item, bool(label)
    context: Mapping[str, str] = json.loads(first["context"] or "{}")
    user, generation, asked = first["user_id"], first["generation"], float(first["asked"])
    return LoggedSlate(user, generation, asked, context, first["from_store"] is not False, draws, items, taken)


def _rows(file: Location, wanted: WantedExploredSlates) -> pd.DataFrame:
    """The explored rows, without those of an arm that a person forced. Files of an earlier version have none."""
    kept = pc.field("explored") & (pc.field("arms") != "") & (pc.field("asked") >= wanted.since)
    if wanted.dataset is not None:
        kept &= pc.field("dataset") == wanted.dataset
    with reading_parquet(file):
        found = ds.dataset(file.path, schema=_COLUMNS, format="parquet", filesystem=file.filesystem())
        rows = found.to_table(filter=kept).to_pandas()
    return pd.DataFrame(rows[kept_rows(rows["user_id"], rows["time"], wanted.deleted)])
