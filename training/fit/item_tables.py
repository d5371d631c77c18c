"""Build, from a log, the item tables that retrieval and ranking read: embeddings, popularity, age, neighbours and
context lifts of each item.

The item tower, the network that turns an item into a vector, computes the embeddings.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recsys.generation.item_tables import ItemTables
from recsys.generation.packed_strings import StringTable
from recsys.kernels.quantization import rounded
from recsys.model.towers import Towers
from recsys.types import F32, I32, PAD
from training.encode.interaction_log import DAY, Log
from training.fit.context_lift import context_lift
from training.fit.fit_towers import item_embeddings
from training.fit.neighbours import covisit_table, ease_table, follow_table
from training.fit.popularity import popularity, recency_popularity
from training.processes.engine import LOCAL, Engine


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
