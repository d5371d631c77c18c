"""Read the files of `drain` (served slates, ordered lists of recommended items) for the flow `drift`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
from prefect import get_run_logger

from flows.orchestration import step
from recsys.utc_day import DAY_SECONDS, day_of
from training.export.training_slates import ITEM_COLUMNS, draw, one_of_each_user
from training.read.day_partitions import by_day, reading_parquet
from training.read.impressions import COLUMNS, PREFIX, SCHEMA
from training.read.locations import Location

WEEK = 7
"""Days before the last day, with which the last day is compared."""

FILES = 192
"""Files that are read, at most, spread over all days: 384,000 slates of 20 items take 20 s of CPU."""

READ = [*ITEM_COLUMNS, "sources", "arms", "context", "from_store", *COLUMNS]


@dataclass(frozen=True)
class DrawnSlates:
    """One row for each user of the window, the last day, and one for each user of the week before."""

    window: pd.DataFrame
    week: pd.DataFrame


@step
def read_slates(folder: Location, until: float) -> DrawnSlates:
    """Draw rows of the day before `until` (unix seconds), the window, and of the WEEK days before that.

    Slates without features, and those of arms of experiments other than the control, are left out: experiments change
    on purpose what is shown. DatasetError or LocationError names a file that can't be read.
    """
    start = until - DAY_SECONDS
    before = start - WEEK * DAY_SECONDS
    first, last = day_of(before), day_of(until)
    files = [file for day, of_day in by_day(folder).items() if first <= day <= last for file in of_day]
    window, week = [_NOTHING], [_NOTHING]
    for file in files[:: max(1, math.ceil(len(files) / FILES))]:
        rows = _ranked_rows(file)
        window.append(draw(rows, start, DAY_SECONDS, 1))
        week.append(draw(rows, before, DAY_SECONDS, WEEK))
    return DrawnSlates(one_of_each_user(window), one_of_each_user(week))


_NOTHING = draw(SCHEMA.empty_table().select(READ).to_pandas(), 0.0, 1.0, 1)


def _ranked_rows(file: Location) -> pd.DataFrame:
    """The rows of a file that a ranker ordered, of the control. Files of earlier versions lack columns."""
    with reading_parquet(file):
        found = ds.dataset(file.path, format="parquet", filesystem=file.filesystem())
        own = [each for each in found.schema if each.name.startswith(PREFIX) and each.name not in SCHEMA.names]
        dataset = found.replace_schema(pa.schema([*SCHEMA, *own]))
        rows = dataset.to_table(columns=[*READ, *(each.name for each in own)]).to_pandas()
    missing = rows[COLUMNS].isna().all()
    if missing.any() and not missing.all():
        get_run_logger().warning("%s lacks features of this code's ranker: its slates are left out.", file)
    kept = rows[COLUMNS].notna().all(axis=1) & ~rows["arms"].fillna("").map(_is_arm)
    return pd.DataFrame(rows[kept]).reset_index(drop=True)


def _is_arm(arms: str) -> bool:
    """Whether a slate is of an arm of some experiment. arms: as `drain` writes them."""
    return any(not each.endswith("=control") for each in arms.split(",") if each)
