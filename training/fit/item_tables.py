"""Build, from a log, the item tables that retrieval and ranking read: embeddings, popularity, age, neighbours and
context lifts of each item.

The item tower, the network that turns an item into a vector, computes the embeddings. A context lift says how much more
often users take an item in a context, such as an hour, than they take other items.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from recsys.generation.item_tables import ItemTables
from recsys.generation.packed_strings import StringTable
from recsys.kernels.quantization import rounded
from recsys.model.context_lift import ContextLift, group_starts, table_columns
from recsys.model.towers import Towers
from recsys.types import F32, I32, PAD
from training.encode.interaction_log import DAY, Log
from training.fit.fit_towers import item_embeddings
from training.fit.neighbours import covisit_table, ease_table, follow_table
from training.processes.engine import LOCAL, Engine

HALF_LIFE = 7 * DAY


def popularity(log: Log) -> F32:
    """The weighted interactions of each item: [n] float32."""
    return np.bincount(log.items, log.weights, minlength=len(log.catalogue)).astype(np.float32)


def recency_popularity(log: Log) -> F32:
    """The weighted interactions of each item, halved for every HALF_LIFE before the log's end: [n] float32."""
    weight = log.weights * 0.5 ** ((log.end - log.times) / HALF_LIFE)
    return np.bincount(log.items, weight, minlength=len(log.catalogue)).astype(np.float32)


PRIOR = 20.0
"""Events that each item has beforehand, distributed over the contexts like the events of all items."""

CELLS = 1 << 26
"""Of the table, at most: 256 MiB. Where the context columns need more, only the hour and the weekday have lifts."""

BLOCK = 1 << 20
"""Events counted at once."""


def context_lift(log: Log) -> ContextLift:
    """The lifts of every item, counted from all events of `log`."""
    n = len(log.catalogue)
    starts = group_starts([len(values) for _, values in log.catalogue.spec.contexts])
    if n * int(starts[-1]) > CELLS:
        starts = group_starts([])
    table = np.zeros((n, int(starts[-1])), np.float32)
    for first in range(0, len(log), BLOCK):
        events = np.arange(first, min(first + BLOCK, len(log)))
        columns = table_columns(log.context_of(events), starts)
        known = columns >= 0
        items = np.broadcast_to(log.items[events, None], columns.shape)[known]
        np.add.at(table, (items, columns[known]), np.float32(1))
    for start, end in pairwise(starts):
        _to_lifts(table[:, start:end])
    return ContextLift(table, starts)


def _to_lifts(counts: np.ndarray) -> None:
    """Replace counts [n, W] of the values of one context column by their lifts."""
    total = counts.sum(axis=0, dtype=np.float64)
    share = (total / max(total.sum(), 1)).astype(np.float32)
    own = counts.sum(axis=1, keepdims=True) + np.float32(PRIOR)
    expected = own * share
    counts += np.float32(PRIOR) * share
    np.divide(counts, expected, out=counts, where=expected > 0)
    counts[:, share == 0] = 1
    np.log(counts, out=counts)


def build_tables(log: Log, towers: Towers, engine: Engine = LOCAL) -> ItemTables:
    """The item tables at the end of `log`. engine: counts the neighbours and computes the embeddings."""
    catalogue, windows = log.catalogue, popularity_windows(log)
    embeddings = item_embeddings(towers, catalogue.content, engine)
    return ItemTables(
        ids=StringTable.pack(str(i) for i in catalogue.ids),
        titles=catalogue.titles,
        embeddings=embeddings,
        rounded=rounded(embeddings),
        content=catalogue.content,
        available=catalogue.available,
        popularity=windows,
        by_popularity=_by_popularity(windows),
        age=_age(log),
        numbers=catalogue.numbers,
        own=catalogue.spec.own_values(catalogue.numbers),
        covisit=covisit_table(log, engine),
        follow=follow_table(log, engine),
        ease=ease_table(log),
        context_lift=context_lift(log),
    )


def recounted(tables: ItemTables, log: Log, rows: I32 | None = None) -> ItemTables:
    """The tables with the popularity and the age of each item at the end of `log`: two columns that are fast to count.

    rows: the row in `tables` of each item of the log's catalogue, PAD where it has none; None for the same rows.
    """
    windows, age = popularity_windows(log), _age(log)
    if rows is not None:
        windows, age = (_in_rows(each, rows, len(tables)) for each in (windows, age))
    return replace(tables, popularity=windows, by_popularity=_by_popularity(windows), age=age)


def popularity_windows(log: Log) -> F32:
    """The columns of POPULARITY_WINDOWS: [n, 4] float32."""

    def recent(days: float) -> F32:
        return popularity(log[int(np.searchsorted(log.times, log.end - days * DAY)) :])

    return np.stack([popularity(log), recent(30), recent(7), recency_popularity(log)], axis=1)


def _in_rows(values: F32, rows: I32, n: int) -> F32:
    """Values of items in the rows of n other ones; 0 in a row without an item."""
    found, known = np.zeros((n, *values.shape[1:]), np.float32), rows != PAD
    found[rows[known]] = values[known]
    return found


def _by_popularity(windows: F32) -> I32:
    """The rows, the most popular of recent days first: [n] int32."""
    return np.argsort(-windows[:, 3], kind="stable").astype(np.int32)


def _age(log: Log) -> F32:
    """Days since each item's first event, at the end of the log; 0 for an item without events."""
    first = np.full(len(log.catalogue), log.end)
    np.minimum.at(first, log.items, log.times)
    return ((log.end - first) / DAY).astype(np.float32)
