"""The files of collected events: what users did, as `POST /events` received it and `python -m flows drain` copied it.

A row is one event of the store's log. A file has the events that arrived on one day, by the store's clock. A late event
is in the folder of the day of its arrival, so a day that is over gets no more rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.types import I64, Bool

FOLDER = "events"
"""The folder for `training.read.locations.exports`."""

VERSION = 1
"""Of the columns. It changes when a column changes its meaning."""

SCHEMA = pa.schema(
    [
        ("entry", pa.string()),
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("timestamp", pa.float64()),
        ("event_type", pa.string()),
        ("event_id", pa.string()),
        ("context", pa.map_(pa.string(), pa.string())),
        ("dataset", pa.string()),
        ("arrived", pa.float64()),
    ],
    metadata={"tandem.events": str(VERSION)},
)
"""entry: of the store's log, unique. timestamp: of the event. arrived: by the store's clock. dataset: of the generation
that was in force then, empty if none was. event_id: null if the caller gave none."""


COUNT_BITS = 20
"""Bits of an entry's count within its millisecond, in `entry_numbers`."""


def entry_numbers(table: pa.Table) -> I64:
    """The entry of each row as a number: [rows]. Later entries of the log have larger numbers."""
    parts = pc.split_pattern(table["entry"], "-")
    moments, counts = (pc.list_element(parts, at).cast(pa.int64()).to_numpy() for at in range(2))
    numbers: I64 = (moments << COUNT_BITS) + counts
    return numbers


def first_of_each(numbers: I64) -> Bool:
    """Which rows are the first with their number: [rows]."""
    first = np.zeros(len(numbers), bool)
    first[np.unique(numbers, return_index=True)[1]] = True
    return first


def united(tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of some tables, each entry once, in the order of the log."""
    table = pa.concat_tables(tables)
    return table.take(pa.array(np.unique(entry_numbers(table), return_index=True)[1]))
