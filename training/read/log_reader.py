"""Read a dataset's table of interactions (its log): the users, items, times, event types, values and contexts of the
valid rows.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd

from recsys.model.event_types import UNDECLARED
from recsys.user_digest import DeletedUsers
from training.processes.engine import LOCAL, Engine
from training.progress import StepProgress, no_step
from training.read.cells import each, empty_ids, ids_of, missing, read_numbers, text_of
from training.read.collected_reader import with_collected
from training.read.event_type_checks import check_event_types
from training.read.left_out_users import kept_rows
from training.read.mapping import Mapping
from training.read.quarantine import GIVEN, Quarantine
from training.read.table_reader import read_table
from training.read.table_sections import CONTEXT, Interactions
from training.read.times import DAY, IN_FUTURE, are_days, read_times

CLOCKS_DIFFER = 600
"""Seconds by which a shop's clock may be ahead of this clock. A wrong time zone is at least half an hour."""


def read_log(
    mapping: Mapping,
    quarantine: Quarantine,
    deleted: DeletedUsers,
    engine: Engine = LOCAL,
    progress: StepProgress = no_step,
) -> pd.DataFrame:
    """The valid rows in order of time, indexed by their number in the file; duplicate rows are dropped.

    Collected events follow the file's rows, if the mapping wants them. `quarantine` receives the bad rows, what was
    assumed of event types, and examples for the sentences of checks that may refuse the log. deleted: users whose rows
    of an earlier time are left out. engine: reads the parts of Parquet files.
    """
    table = mapping.toml.interactions
    log = no_rows(table)
    if table.has_file:
        rows = read_table(mapping, "interactions", quarantine, engine=engine, progress=progress)
        log = _valid_rows(mapping, rows, quarantine, deleted)
    quarantine.notes.only_days = are_days(log["timestamp"])
    if mapping.toml.collected.events:
        log = with_collected(mapping, log, quarantine, deleted)
    quarantine.notes.assumptions = tuple(check_event_types(mapping, log["event_type"]))
    log = log.sort_values("timestamp", kind="stable")
    duplicates = pd.Series(False, log.index) if table.duplicates == "keep" else _repeats(log)
    ahead = log["timestamp"] > time.time() + CLOCKS_DIFFER
    _note_examples(mapping, log, duplicates, ahead, quarantine)
    quarantine.notes.duplicates = int(duplicates.sum())
    quarantine.notes.ahead = int(ahead[~duplicates].sum())
    return (log[~duplicates] if duplicates.any() else log).drop(columns="timestamp" + GIVEN)


def no_rows(table: Interactions) -> pd.DataFrame:
    """The log of a dataset without a file of interactions."""
    columns = {name: pd.Series(dtype="float64" if name in ("timestamp", "value") else "str") for name in table.columns}
    return pd.DataFrame(columns | {"timestamp" + GIVEN: pd.Series(dtype="float64")})


def _valid_rows(mapping: Mapping, log: pd.DataFrame, quarantine: Quarantine, deleted: DeletedUsers) -> pd.DataFrame:
    """The valid rows of the file of interactions. log: all of them; its columns are converted in place."""
    table = mapping.toml.interactions
    log["timestamp" + GIVEN] = log["timestamp"]
    where = mapping.column(table, "timestamp")
    log["timestamp"] = read_times(log["timestamp"], table.timestamp_format, table.timezone, where)
    stays = kept_rows(log["user_id"], log["timestamp"], deleted)
    quarantine.notes.deleted = int((~stays).sum())
    log = log if stays.all() else log[stays]  # a copy of a large log takes as much memory again
    if "value" in log:
        values = log["value"].rename(table.value)
        log["value"] = read_numbers(values, table.decimal, "interactions", "value", quarantine)
    if "event_type" in log:
        types = each(log["event_type"], lambda cell: UNDECLARED if missing(cell) else str(cell))
        log["event_type"] = types.astype("category")
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
    return log.assign(user_id=ids_of(log["user_id"], table.typed), item_id=ids_of(log["item_id"], table.typed))


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
