"""The catalogue of a generation, as selection asks of it, where nothing was put since."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from recsys.sources import AT_ONCE
from recsys.tables import ItemTables
from recsys.types import F32, I32, Bool, Id

DAY = 86_400.0


@dataclass(frozen=True)
class TablesCatalogue:
    """may: which rows pass the hard filters. age_days: from the data's end to the moment asked about."""

    tables: ItemTables
    may: Callable[[I32], Bool]
    age_days: float

    def blocks(self) -> Iterator[I32]:
        """Every row, the most popular first."""
        for start in range(0, len(self.tables), AT_ONCE):
            yield np.asarray(self.tables.by_popularity[start : start + AT_ONCE])

    def allowed(self, rows: I32) -> Bool:
        """Which rows pass."""
        return self.may(rows)

    def content(self, rows: I32) -> I32:
        """Content tokens."""
        return np.asarray(self.tables.content[rows])

    def embeddings(self, rows: I32) -> F32:
        """Item embeddings."""
        return np.asarray(self.tables.embeddings[rows])

    def is_new(self, rows: I32, days: float) -> Bool:
        """Which rows were first taken in the last so many days."""
        new: Bool = np.asarray(self.tables.age[rows]) + self.age_days <= days
        return new

    def rows_of(self, items: Sequence[Id]) -> I32:
        """Rows of the items that are known."""
        rows = (self.tables.ids.rows.get(str(item)) for item in items)
        return np.array([row for row in rows if row is not None], np.int32)
