"""Read a dataset's table of interactions (its log): the users, items, times, event types, values and contexts of the
valid rows.

The event types (view, purchase ...) are checked against those that `dataset.toml` names in [events] and `exclude_seen`.
A type without a meaning is an error. What is assumed of the types becomes a sentence for the operator.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from recsys.errors import DatasetError
from recsys.model.event_types import IMPRESSION, UNDECLARED
from recsys.user_digest import DeletedUsers
from training.processes.engine import LOCAL, Engine
from training.progress import StepProgress, no_step
from training.read.cells import each, empty_ids, ids_of, missing, read_numbers, text_of
from training.read.collected import with_collected
from training.read.left_out_users import kept_rows
from training.read.mapping import Mapping
from training.read.quarantine import GIVEN, Quarantine
from training.read.table_reader import read_table
from training.read.table_sections import CONTEXT, Interactions
from training.read.times import DAY, IN_FUTURE, are_days, read_times

MOST_TYPES = 255
"""Event types of a dataset, at most: a type is one byte. A column with more holds ids or times."""

SHOWN = 12
"""Event types that a sentence lists."""

TAKES_BACK = {
    *("refund", "refunded", "return", "returned", "chargeback", "cancel", "canceled", "cancelled", "cancellation"),
    *("dislike", "disliked", "downvote", "thumbs_down", "hide", "block", "report", "unlike", "unfollow", "unsubscribe"),
    *("remove", "removed", "remove_from_cart", "delete"),
    *("storno", "stornierung", "storniert", "retoure", "retour", "remboursement", "annulation"),
    *("devolucion", "devolución", "reembolso", "rimborso", "reso"),
}
"""Names of types that most often revoke an event. Without [events] they would count as interest in the item."""


class LogTypes:
    """The event types of a log, by row number, as the sentences of errors show them."""

    def __init__(self, mapping: Mapping, types: pd.Series) -> None:
        self.path, self._types = mapping.path, types
        self.column = mapping.toml.interactions.event_type
        self.counts = {str(name): int(count) for name, count in types.value_counts().items() if count}

    def listed(self, names: Iterable[str] | None = None) -> str:
        """The first types with the number of their events."""
        return ", ".join(f"'{name}' ({self.counts[name]:,})" for name in list(names or self.counts)[:SHOWN])

    def rows(self, name: str) -> str:
        """Up to two rows that hold a type, as they are numbered in the file."""
        rows = self._types.index[self._types == name][:2]
        return f"row{'s' if len(rows) > 1 else ''} {' and '.join(f'{row:,}' for row in rows)}"

    def require(self, names: Sequence[str], entry: str) -> None:
        """DatasetError if no event has a type that an entry names."""
        for name in names:
            if name not in self.counts:
                there = (f"'{known}' ({count:,}) in {self.rows(known)}" for known, count in self.counts.items())
                raise DatasetError(
                    f"{self.path}: {entry} names '{name}', and no row of column '{self.column}' has it. It has "
                    f"{', '.join([*there][:SHOWN])}."
                )


def check_event_types(mapping: Mapping, types: pd.Series) -> list[str]:
    """A sentence for each thing that is assumed or has no effect. DatasetError for a type without a meaning."""
    log, events = LogTypes(mapping, types), mapping.toml.events
    if len(log.counts) > MOST_TYPES:
        raise DatasetError(
            f"Column '{log.column}' holds {len(log.counts):,} event types, and {MOST_TYPES} are the most: "
            f"{log.listed()}, ... Set event_type in [interactions] of {mapping.path} to the column of the types."
        )
    log.require(mapping.toml.settings.seen_rule.types, "types of exclude_seen in [settings]")
    if events is None:
        return _assumed(log)
    rules = events.rules
    log.require(rules.targets, "target in [events]")
    named = {*rules.weights, *rules.targets, *rules.negative}
    unnamed = [name for name in log.counts if name not in named and not rules.ignores(name)]
    if unnamed:
        _refuse_unnamed(log, unnamed[:SHOWN])
    if not any(rules.weight(name) for name in log.counts):
        raise DatasetError(f"[events] of {mapping.path} leaves no event to learn from: its types are {log.listed()}.")
    absent = [name for name in dict.fromkeys((*rules.weights, *events.weigh_by_value)) if name not in log.counts]
    return [
        f"[events] of {mapping.path} weighs '{name}', and no row of column '{log.column}' has it. Its types: "
        f"{log.listed()}."
        for name in absent
    ]


def _refuse_unnamed(log: LogTypes, names: Sequence[str]) -> None:
    empty = ", as which empty cells are read,"
    rows = [f"'{name}'{empty if name == UNDECLARED else ''} ({log.rows(name)})" for name in names]
    raise DatasetError(
        f"Column '{log.column}' holds {' and '.join(rows)}, which [events] of {log.path} does not name. Its types: "
        f"{log.listed()}. Add {' and '.join(map(repr, names))} to weights, negative or ignored."
    )


def _assumed(log: LogTypes) -> list[str]:
    """What is assumed of several types without [events]. DatasetError if a type looks negative."""
    names = [name for name in log.counts if name != IMPRESSION]
    if not names:
        raise DatasetError(
            f"Column '{log.column}' holds {log.listed()} alone: items that were shown, and nothing that a user did. "
            "Export views, purchases and other events too."
        )
    for name in names:
        if name.strip().lower().replace(" ", "_").replace("-", "_") in TAKES_BACK:
            raise DatasetError(
                f"Column '{log.column}' holds '{name}' ({log.rows(name)}), which would count as much as any other "
                f'event of its item. State its meaning in {log.path}: add [events] with negative = ["{name}"], '
                f'ignored = ["{name}"] or weights = {{ "{name}" = 1 }}.'
            )
    if len(names) < 2:
        return []
    return [
        f"Every event type counts the same and is a target: {log.listed(names)}. To change this, add [events] to "
        f'{log.path}, such as target = ["purchase"].'
    ]


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
