"""Which events of the log a slate led to: the user took an item that a logged slate had shown shortly before.

Such an event is a choice among the items of its slate, not among all items. It is no answer of a query over all items,
neither in training nor in measurement: a model that repeats the slates of the live generation would seem good.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from recsys.types import Bool
from training.data.day_partitions import read_schema, read_table
from training.data.interaction_log import Log
from training.data.locations import Location

READ = ["user_id", "item_id", "time", "labelled_until", "dataset", "label"]


def led_events(log: Log, dataset: str, files: Iterable[Location]) -> Bool:
    """Which events took an item of a slate before the slate's wait ended: [E].

    dataset: of the slates. files: of impressions; a file of an older version has no such column and leads to no event.
    """
    led, shown = np.zeros(len(log), bool), [_taken(file, dataset) for file in files if _has_columns(file)]
    if not shown:
        return led
    taken = pd.concat(shown)
    at = np.flatnonzero(log.times >= np.floor(taken["time"].min())) if len(taken) else np.zeros(0, np.int64)
    events = pd.DataFrame(
        {
            "at": at,
            "user_id": log.user_ids[log.users[at]].astype(str),
            "item_id": log.catalogue.ids[log.items[at]].astype(str),
            "timestamp": log.times[at],
        }
    ).merge(taken, on=["user_id", "item_id"])
    second = np.floor(events["time"])  # clients that send whole seconds: such a time may precede the slate
    within = (events["timestamp"] >= second) & (events["timestamp"] <= events["labelled_until"])
    led[events.loc[within, "at"]] = True
    return led


def _has_columns(file: Location) -> bool:
    return set(READ) <= set(read_schema(file).names)


def _taken(file: Location, dataset: str) -> pd.DataFrame:
    """The items that users took, of slates of a dataset."""
    table = read_table(file, READ)
    found: pd.DataFrame = table.filter(pc.and_(table["label"], pc.equal(table["dataset"], dataset))).to_pandas()
    return found
