"""Which events of the log came from a logged slate: the user took an item that a slate had shown shortly before.

An event comes from one slate, the newest one with its item: the rule by which `flows drain` labels slates.

Such an event is a choice among the items of its slate, not among all items. It is no answer of a query over all items:
a model that repeats the slates of the live generation would seem good.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import and_
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recsys.types import Bool
from training.encode.interaction_log import Log
from training.read.day_partitions import read_files, read_schema
from training.read.impressions import PREFIX, columns_of, some_columns
from training.read.locations import Location

Moment = float | pd.Series

COLUMNS = some_columns("user_id", "item_id", "time", "labelled_until", "dataset", "label")


class SlateEvents(NamedTuple):
    """[E] bool each. from_slate: events that came from a slate. from_usable: from one with the ranker's features.

    A slate without these features can't train the ranker, so its event can only be a label.
    """

    from_slate: Bool
    from_usable: Bool


def slate_events(
    log: Log, dataset: str, files: Sequence[Location], features: Sequence[str], since: float
) -> SlateEvents:
    """The events since a moment that took an item of a slate before the slate's wait ended.

    dataset: of the slates. files: of impressions; a file of an older version has no labels, so no event came from it.
    features: of the ranker that is trained. since: unix seconds.
    """
    found = SlateEvents(np.zeros(len(log), bool), np.zeros(len(log), bool))
    if not files:
        return found
    at = np.flatnonzero(log.times >= since)
    events = pd.DataFrame(
        {
            "at": at,
            "user_id": log.user_ids[log.users[at]].astype(str),
            "item_id": log.catalogue.ids[log.items[at]].astype(str),
            "timestamp": log.times[at],
        }
    ).merge(_taken(files, dataset, columns_of(features), since), on=["user_id", "item_id"])
    taken = events[in_time(events["timestamp"], events["time"], events["labelled_until"])]
    taken = taken.sort_values("time", kind="stable").drop_duplicates("at", keep="last")
    found.from_slate[taken["at"]] = True
    found.from_usable[taken.loc[taken["usable"], "at"]] = True
    return found


def in_time(event: Moment, shown: Moment, until: Moment) -> Any:
    """Whether events are between their slates and the ends of the slates' waits; all are unix seconds."""
    second = np.floor(shown)  # clients that send whole seconds: such a time may precede the slate
    return ((shown <= event) & (event <= until)) | (event == second)


def _taken(files: Sequence[Location], dataset: str, wanted: Sequence[str], since: float) -> pd.DataFrame:
    """The items that users took. usable: whether the slate has the wanted features and no others, as in `impressions`.

    A slate whose wait ended before `since` is left out.
    """
    others = {name for file in files for name in read_schema(file).names if name.startswith(PREFIX)} - {*wanted}
    schema = pa.schema([*COLUMNS, *((name, pa.float32()) for name in [*wanted, *others])])
    missing = {name: pc.field(name).is_null(nan_is_null=True) for name in [*wanted, *others]}
    usable = reduce(and_, [missing[name] if name in others else ~missing[name] for name in missing])
    columns = {name: pc.field(name) for name in ("user_id", "item_id", "time", "labelled_until")} | {"usable": usable}
    where = pc.field("label") & (pc.field("dataset") == dataset) & (pc.field("labelled_until") >= since)
    found: pd.DataFrame = read_files(files, schema, columns, where).to_pandas()
    return found
