"""Convert impressions (recommended items that users were shown) to table rows with features and labels, for Parquet.

There is a row for each shown item. Its label is whether the user took the item soon afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from recsys.lists.impression import Impression
from recsys.model.features import FEATURES
from recsys.retrieval.registry import names_of
from recsys.types import Event
from training.data.impressions import PREFIX

COLUMNS = pa.schema(
    [
        ("impression", pa.string()),
        ("user_id", pa.string()),
        ("generation", pa.string()),
        ("time", pa.float64()),
        ("asked", pa.float64()),
        ("mode", pa.string()),
        ("item_id", pa.string()),
        ("place", pa.int32()),
        ("score", pa.float32()),
        ("sources", pa.string()),
        ("label", pa.bool_()),
        ("event_type", pa.string()),
    ]
)

SCHEMA = pa.schema([*COLUMNS, *(pa.field(f"{PREFIX}{name}", pa.float32()) for name in FEATURES)])


def to_table(shown: Mapping[str, Impression], events: Mapping[str, Sequence[Event]], wait: float) -> pa.Table:
    """The rows of impressions, by their entry. events: each user's events, oldest first, by the user's id as text."""
    rows: list[tuple[object, ...]] = []
    for entry, impression in shown.items():
        user = str(impression.user_id)
        taken = taken_after(impression, events[user], wait)
        for at, item in enumerate(map(str, impression.items)):
            slate = entry, user, impression.generation, impression.time, impression.asked, impression.mode
            place = item, int(impression.places[at]), float(impression.scores[at])
            sources = ",".join(names_of(int(impression.sources[at])))
            rows.append((*slate, *place, sources, item in taken, taken.get(item)))
    arrays = [
        pa.array(list(column), field.type) for column, field in zip(zip(*rows, strict=True), COLUMNS, strict=True)
    ]
    features = np.concatenate([impression.features for impression in shown.values()])
    arrays += [pa.array(features[:, at], pa.float32()) for at in range(len(FEATURES))]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def taken_after(shown: Impression, events: Sequence[Event], wait: float) -> dict[str, str]:
    """The type of the user's first event with each item within `wait` seconds after a slate, by item."""
    until = shown.time + wait
    second = math.floor(shown.time)  # clients that send whole seconds: such a time may precede the slate
    return {
        str(event.item_id): event.event_type
        for event in reversed(events)
        if shown.time <= event.timestamp <= until or event.timestamp == second
    }
