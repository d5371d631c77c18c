"""The candidate source `popular`: the most popular items of recent days, by the interactions of all users."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from recsys.fresh_items.extended_column import ExtendedColumn
from recsys.generation.item_tables import ItemTables
from recsys.retrieval.source import CandidateSource, Finder, RetrievalBatch
from recsys.types import CANDIDATES, HISTORY_LENGTH, I32, PAD, Bool, Source

if TYPE_CHECKING:
    from recsys.fresh_items.extended_index import ExtendedIndex

AT_ONCE = 4_096
"""Rows that are read in one step of the search for available rows."""


def most_popular(tables: ItemTables, k: int, may: Bool | ExtendedColumn | None = None) -> I32:
    """The k most popular available rows, best first, or all if fewer. may: a mask in place of `available`."""
    may = tables.available if may is None else may
    found: I32 = np.zeros(0, np.int32)
    for start in range(0, len(tables.by_popularity), AT_ONCE):
        rows = np.asarray(tables.by_popularity[start : start + AT_ONCE])
        found = np.concatenate([found, rows[may[rows]]])
        if len(found) >= k:
            break
    return found[:k]


class PopularItems(Finder):
    """The same items for every user, or the most popular of what a filter leaves."""

    def __init__(self, tables: ItemTables) -> None:
        self._rows = most_popular(tables, CANDIDATES + HISTORY_LENGTH)

    def over(self, tables: ItemTables, index: ExtendedIndex) -> PopularItems:
        """The same without the items that were hidden through PUT /items since the training."""
        other: PopularItems = copy.copy(self)
        other._rows = self._rows[tables.available[self._rows]]
        return other

    def find(self, batch: RetrievalBatch, k: int) -> I32:
        """The most popular items."""
        popular = self._rows[None, :k]
        if len(batch.past) > 1 or batch.allowed is not None:
            popular = np.broadcast_to(popular, (len(batch.past), popular.shape[1]))
        if batch.allowed is None:
            return popular
        popular = popular.copy()
        for row, allowed in zip(popular, batch.allowed, strict=True):
            if allowed is not None:
                best = allowed.popular[: len(row)]
                row[: len(best)], row[len(best) :] = best, PAD
        return popular


SOURCE = CandidateSource("popular", Source.POPULAR, 64, PopularItems)
