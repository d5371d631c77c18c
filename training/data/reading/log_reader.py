"""Read a dataset's table of interactions (its log): the users, items, times, event types, values and contexts of the
valid rows.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd

from recsys.model.event_types import UNDECLARED
from training.data.mapping import Mapping
from training.data.reading.cells import each, empty_ids, ids_of, read_numbers, text_of
from training.data.reading.event_type_checks import check_event_types
from training.data.reading.quarantine import GIVEN, Quarantine
from training.data.reading.table_reader import read_table
from training.data.reading.times import read_times
from training.data.table_sections import CONTEXT

DAY = 86_400
CLOCKS_DIFFER = 600
"""Seconds by which a shop's clock may be ahead of this clock. A wrong time zone is at least half an hour."""

IN_FUTURE = "in the future"


def read_log(mapping: Mapping, quarantine: Quarantine) -> pd.DataFrame:
    """The valid rows in order of time, indexed by their number in the file; duplicate rows are dropped.

    `quarantine` receives the bad rows, what was assumed of event types, and examples for the sentences of checks that
    may refuse the log.
    """
    table = mapping.toml.interactions
    log = read_table(mapping, "interactions", quarantine)
    log["timestamp" + GIVEN] = log["timestamp"]
    where = mapping.column(table, "timestamp")
    log["timestamp"] = read_times(log["timestamp"], table.timestamp_format, table.timezone, where)
    if "value" in log:
        values = log["value"].rename(table.value)
        log["value"] = read_numbers(values, table.decimal, "interactions", "value", quarantine)
    if "event_type" in log:
        log["event_type"] = log["event_type"].replace("", None).fillna(UNDECLARED).astype("str").astype("category")
    else:
        log["event_type"] = pd.Categorical.from_codes(np.zeros(len(log), np.int8), pd.Index([UNDECLARED]))
    for column in log.columns[log.columns.str.startswith(CONTEXT)]:
        log[column] = each(log[column], text_of).astype("category")
    times = log["timestamp"]
    bad = {
        "user_id: empty": empty_ids(log["user_id"]),
        "item_id: empty": empty_ids(log["item_id"]),
        "timestamp: not a time": ~(np.isfinite(times) & (times >= 0)),
        # One time in the far future would move the log's end, and every window before it.
        f"timestamp: {IN_FUTURE}": times >= time.time() + DAY,
    }
    log = quarantine.sift("interactions", log, bad, mapping.file(table), table.columns)
    log = log.assign(user_id=ids_of(log["user_id"], table.typed), item_id=ids_of(log["item_id"], table.typed))
    quarantine.notes.assumptions = tuple(check_event_types(mapping, log["event_type"]))
    log = log.sort_values("timestamp", kind="stable")
    duplicates = pd.Series(False, log.index) if table.duplicates == "keep" else _repeats(log)
    ahead = log["timestamp"] > time.time() + CLOCKS_DIFFER
    _note_examples(mapping, log, duplicates, ahead, quarantine)
    quarantine.notes.duplicates = int(duplicates.sum())
    quarantine.notes.ahead = int(ahead[~duplicates].sum())
    return log[~duplicates].drop(columns="timestamp" + GIVEN)


def are_days(times: pd.Series) -> bool:
    """Whether the times have no time of day: all have that of a midnight, which summer time moves by an hour."""
    return len(times) > 1 and times.mod(DAY).nunique() <= 2


def _repeats(log: pd.DataFrame) -> pd.Series:
    """Which rows of a log in order of time repeat an earlier row in every column."""
    times = log["timestamp"].to_numpy()
    with_next = np.append(times[1:] == times[:-1], False)
    shared = with_next | np.roll(with_next, 1)  # a row whose time no other row has repeats nothing
    repeats = np.zeros(len(log), bool)
    repeats[shared] = log.loc[shared, log.columns != "timestamp" + GIVEN].duplicated()
    return pd.Series(repeats, log.index)


def _note_examples(
    mapping: Mapping, log: pd.DataFrame, duplicates: pd.Series, ahead: pd.Series, quarantine: Quarantine
) -> None:
    """Two rows for the sentence of each check that may refuse the log."""
    given = log["timestamp" + GIVEN]
    rows = {
        "oldest event": ("timestamp", given.iloc[:2]),
        "newest event": ("timestamp", given.iloc[:-3:-1]),
        "events ahead": ("timestamp", given[ahead]),
        "duplicates": ("item_id", log["item_id"][duplicates]),
        "items kept": ("item_id", log["item_id"].iloc[:-3:-1]),
        "users kept": ("user_id", log["user_id"].iloc[:-3:-1]),
    }
    if mapping.toml.interactions.event_type is not None:
        types = log["event_type"]
        rows["type"] = ("event_type", types.drop_duplicates())
        rows |= {f"type {name}": ("event_type", types[types == name]) for name in types.cat.categories}
    for name, (entry, cells) in rows.items():
        quarantine.note_example(name, mapping.column(mapping.toml.interactions, entry), cells)
