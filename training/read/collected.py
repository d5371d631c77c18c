"""Collected events: what users did, as `POST /events` received it and `python -m flows drain` copied it into files.

A row is one event of the store's log. A file has the events that arrived on one day, by the store's clock. A late event
is in the folder of the day of its arrival, so a day that is over gets no more rows. A dataset's log and its collected
events are joined: an event that the log has too counts once. Events that do not fit the dataset go to the quarantine,
as the `collected` table.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recsys.environment import Environment
from recsys.errors import DatasetError
from recsys.model.event_types import IMPRESSION, UNDECLARED
from recsys.types import I64, Bool
from recsys.user_digest import DeletedUsers
from training.read.cells import PLAIN_INTEGER, ids_of
from training.read.day_partitions import by_day, read_files
from training.read.left_out_users import kept_rows
from training.read.locations import Location, exports
from training.read.mapping import Mapping
from training.read.quarantine import GIVEN, CollectedNotes, Quarantine
from training.read.table_sections import CONTEXT
from training.read.times import DAY, IN_FUTURE, are_days

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


TABLE = "collected"
"""The name of these events in the quarantine and in figures."""


@dataclass(frozen=True)
class OwnLog:
    """The valid rows of the dataset's own log, and whether its file has event types."""

    rows: pd.DataFrame
    typed: bool

    @property
    def unit(self) -> float:
        """Seconds within which an event of the log and a collected one are the same: a day if the log has days."""
        return float(DAY) if are_days(self.rows["timestamp"]) else 1.0


def with_collected(mapping: Mapping, log: pd.DataFrame, quarantine: Quarantine, deleted: DeletedUsers) -> pd.DataFrame:
    """The rows of the log, then the collected events that it lacks, with row numbers that go on.

    DatasetError if the dataset has no log and no event was collected.
    """
    folder = exports(Environment.read(), FOLDER)
    own = OwnLog(log, mapping.toml.interactions.event_type is not None)
    found = _events_of(mapping, folder)
    stays = kept_rows(found["user_id"], found["arrived"], deleted)
    found = found[stays].drop(columns="arrived")
    quarantine.notes.deleted += int((~stays).sum())
    if not own.typed:
        found["event_type"] = UNDECLARED
    found = quarantine.sift(TABLE, found, _bad(mapping, own, found), folder, {}, most=1.0)
    repeats = _in_log(own, found)
    found = found[~repeats]
    if not len(log) and found.empty:
        raise DatasetError(
            f"{mapping.path} names no file of interactions, and {folder} holds no usable event of '{mapping.name}'. "
            "Send events to /events and run: python -m flows drain."
        )
    times = found["timestamp"]
    span = (float(times.min()), float(times.max())) if len(found) else (0.0, 0.0)
    quarantine.notes.collected = CollectedNotes(len(found), *span, int(repeats.sum()))
    return _joined(log, found)


def _events_of(mapping: Mapping, folder: Location) -> pd.DataFrame:
    """The collected events of a dataset in the order of their arrival, each once; no impressions."""
    files = [file for of_day in by_day(folder).values() for file in of_day]
    names = ["user_id", "item_id", "timestamp", "event_type", "event_id", "arrived"]
    contexts = mapping.toml.interactions.context
    if not files:
        return pd.DataFrame({name: pd.Series(dtype="str") for name in (*names, *(CONTEXT + c for c in contexts))})
    # Rows that arrived while a generation of this dataset, or none, was in force.
    own = pc.field("dataset").isin([mapping.name, ""]) & (pc.field("event_type") != IMPRESSION)
    table = read_files(files, SCHEMA, ["entry", *names, *(["context"] if contexts else [])], own)
    table = table.filter(pa.array(first_of_each(entry_numbers(table))))
    found: pd.DataFrame = table.select(names).to_pandas()
    for column in contexts:
        values = pc.map_lookup(table["context"], query_key=pa.scalar(column), occurrence="first")
        found[CONTEXT + column] = values.to_pandas().astype("object")
    repeated = found["event_id"].notna() & found.duplicated(["user_id", "event_id"])
    return found[~repeated].drop(columns="event_id").reset_index(drop=True)


def _bad(mapping: Mapping, own: OwnLog, found: pd.DataFrame) -> dict[str, pd.Series]:
    """Which events do not fit the dataset, by reason."""
    nothing = pd.Series(False, found.index)
    others = pd.api.types.is_integer_dtype(own.rows["item_id"]) and len(own.rows)
    bad = {
        "item_id: no integer, as in the log": ~found["item_id"].str.fullmatch(PLAIN_INTEGER) if others else nothing,
        f"timestamp: {IN_FUTURE}": found["timestamp"].astype("float64") >= time.time() + DAY,
    }
    events, known = mapping.toml.events, [*own.rows["event_type"].unique()]
    if events is not None:
        rules = events.rules
        known += [*rules.weights, *rules.targets, *rules.negative, *rules.ignored]
    if events is not None or len(own.rows):
        bad["event_type: not in the log or in [events]"] = ~found["event_type"].isin(known)
    return bad


def _in_log(own: OwnLog, found: pd.DataFrame) -> Bool:
    """Which events the log has too: the same user, item and type, and a time in the same second, or day."""
    if found.empty or own.rows.empty:
        return np.zeros(len(found), bool)
    near = own.rows[own.rows["timestamp"] >= found["timestamp"].min() - own.unit]
    keys: Bool = _keys(found, own.unit).isin(_keys(near, own.unit))
    return keys


def _keys(rows: pd.DataFrame, unit: float) -> pd.MultiIndex:
    names, units = ("user_id", "item_id", "event_type"), (rows["timestamp"] // unit).astype("int64")
    return pd.MultiIndex.from_arrays([*(rows[name].astype("str") for name in names), units])


def _joined(log: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    start = int(log.index.max()) + 1 if len(log) else 0
    found = found.set_axis(range(start, start + len(found)))
    found["timestamp" + GIVEN] = found["timestamp"]
    for name in ("user_id", "item_id"):
        own = log[name]
        found[name] = ids_of(found[name], typed=bool(len(log)) and not pd.api.types.is_integer_dtype(own))
        if len(log) and found[name].dtype != own.dtype:  # integers and text: all are text
            log, found = log.assign(**{name: own.astype("str")}), found.assign(**{name: found[name].astype("str")})
    both = pd.concat([log, found]) if len(log) else found.reindex(columns=log.columns)
    texts = [name for name in both if name == "event_type" or str(name).startswith(CONTEXT)]
    return both.assign(**{str(name): both[name].astype("category") for name in texts})
