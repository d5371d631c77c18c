"""The interface (`Catalogue`) through which business rules read the items, and one implementation of it.

The implementation reads the item tables of a generation, one trained set of models and tables.
Servers use another one, which also has the items that were added after training through PUT /items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from recsys.generation.item_tables import ItemTables
from recsys.retrieval.sources.popular import AT_ONCE
from recsys.types import F32, F64, I32, Bool, Id

DAY = 86_400.0


class Catalogue(Protocol):
    """The items of a generation for one request."""

    def blocks(self) -> Iterator[I32]:
        """All rows in blocks of some thousands, the most popular first."""

    def newest(self) -> Iterator[I32]:
        """Some thousands of the newest rows, the newest first."""

    def allowed(self, rows: I32) -> Bool:
        """Which rows pass every hard filter."""

    def content(self, rows: I32) -> I32:
        """Content tokens of rows: [n, C]."""

    def numbers(self, rows: I32) -> F64:
        """The columns `FeatureSpec.numbers`: [n, columns]."""

    def embeddings(self, rows: I32) -> F32:
        """Item embeddings: [n, d], of length 1 or 0."""

    def is_new(self, rows: I32, days: float) -> Bool:
        """Which rows are at most so many days old."""

    def rows_of(self, items: Sequence[Id]) -> I32:
        """Rows of the items that the catalogue has."""


@dataclass(frozen=True)
class TablesCatalogue:
    """The catalogue of a generation. may: which rows pass the filters. age_days: from the end of its data to now."""

    tables: ItemTables
    may: Callable[[I32], Bool]
    age_days: float

    def blocks(self) -> Iterator[I32]:
        """Every row, the most popular first."""
        for start in range(0, len(self.tables), AT_ONCE):
            yield np.asarray(self.tables.by_popularity[start : start + AT_ONCE])

    def newest(self) -> Iterator[I32]:
        """The newest rows."""
        yield self.tables.newest

    def allowed(self, rows: I32) -> Bool:
        """Which rows pass."""
        return self.may(rows)

    def content(self, rows: I32) -> I32:
        """Content tokens."""
        return np.asarray(self.tables.content[rows])

    def numbers(self, rows: I32) -> F64:
        """The numeric and boolean columns."""
        return np.asarray(self.tables.numbers[rows])

    def embeddings(self, rows: I32) -> F32:
        """Item embeddings."""
        return np.asarray(self.tables.embeddings[rows])

    def is_new(self, rows: I32, days: float) -> Bool:
        """Which rows had their first interaction in so many days before now."""
        return taken_within(self.tables, rows, days, self.age_days)

    def rows_of(self, items: Sequence[Id]) -> I32:
        """Rows of the items that the catalogue has."""
        rows = self.tables.ids.rows_of([*map(str, items)])
        return np.array([row for row in rows if row is not None], np.int32)


def taken_within(tables: ItemTables, rows: I32, days: float, age_days: float) -> Bool:
    """Which rows had their first interaction in so many days before a time `age_days` after the end of the data."""
    new: Bool = np.asarray(tables.age[rows]) + age_days <= days
    return new
