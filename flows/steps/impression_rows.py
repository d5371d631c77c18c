"""Impressions as rows of a table: one for each item shown, with its features and what the user did after."""

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
    """Rows of impressions by their entry; events: what each user did, oldest first, by the id as text."""
    rows: list[tuple[object, ...]] = []
    for entry, told in shown.items():
        user = str(told.user_id)
        taken = taken_after(told, events[user], wait)
        for at, item in enumerate(map(str, told.items)):
            slate = entry, user, told.generation, told.time, told.asked, told.mode
            place = item, int(told.places[at]), float(told.scores[at])
            sources = ",".join(names_of(int(told.sources[at])))
            rows.append((*slate, *place, sources, item in taken, taken.get(item)))
    arrays = [
        pa.array(list(column), field.type) for column, field in zip(zip(*rows, strict=True), COLUMNS, strict=True)
    ]
    features = np.concatenate([told.features for told in shown.values()])
    arrays += [pa.array(features[:, at], pa.float32()) for at in range(len(FEATURES))]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def taken_after(shown: Impression, events: Sequence[Event], wait: float) -> dict[str, str]:
    """What a user did first with each item within the wait after a slate: the type of event, by item."""
    until = shown.time + wait
    second = math.floor(shown.time)  # many clients tell whole seconds: theirs lie before a slate of the same second
    return {
        str(event.item_id): event.event_type
        for event in reversed(events)
        if shown.time <= event.timestamp <= until or event.timestamp == second
    }
