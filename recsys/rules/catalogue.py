"""The items of a generation (one trained set of models and tables) as the business rules read them for one request.

A server gives it also the items that were added after training through PUT /items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from recsys.fresh_items.extended_tables import ExtendedTables
from recsys.generation.item_tables import POPULARITY_WINDOWS, ItemTables
from recsys.retrieval.sources.popular import AT_ONCE
from recsys.types import F32, F64, I32, Bool, Id

DAY = 86_400.0

ALL = POPULARITY_WINDOWS.index("all")


@dataclass(frozen=True)
class Catalogue:
    """The items of a generation for one request. Rows that its methods take are known.

    tables: of the generation. allowed: which rows pass every hard filter. data_end: of the generation, and the time
    of the request, in unix seconds. extended: the tables with the items added since; None without any.
    """

    tables: ItemTables
    allowed: Callable[[I32], Bool]
    data_end: float
    now: float
    extended: ExtendedTables | None = None

    def blocks(self) -> Iterator[I32]:
        """All rows in blocks of some thousands, the most popular first and the items added since last."""
        for start in range(0, len(self.tables), AT_ONCE):
            yield np.asarray(self.tables.by_popularity[start : start + AT_ONCE])
        if self.extended is not None and len(self.extended.changes.rows):
            yield self.extended.changes.rows

    def newest(self) -> Iterator[I32]:
        """The items added since, the last put first, then some thousands of the newest rows, the newest first."""
        if self.extended is not None and len(self.extended.changes.rows):
            yield self.extended.changes.newest
        yield self.tables.newest

    def content(self, rows: I32) -> I32:
        """Content tokens of rows: [n, C]."""
        return np.asarray(self._all.content[rows])

    def numbers(self, rows: I32) -> F64:
        """The columns `FeatureSpec.numbers`: [n, columns]."""
        return np.asarray(self._all.numbers[rows])

    def interactions(self, rows: I32) -> F32:
        """The number of interactions of rows in the data of the generation: [n]. An item added since has none."""
        return np.asarray(self._all.popularity[rows])[:, ALL]

    def embeddings(self, rows: I32) -> F32:
        """Item embeddings: [n, d], of length 1 or 0. An item added since is 0, so that it is unlike all others."""
        return np.asarray(self._all.embeddings[rows])

    def is_new(self, rows: I32, days: float) -> Bool:
        """Which rows had their first interaction, or their last put, at most so many days ago."""
        new: Bool = np.asarray(self._all.age[rows]) + (self.now - self.data_end) / DAY <= days
        late = rows >= len(self.tables)
        if self.extended is not None and late.any():
            new[late] = self.extended.changes.put_since(rows[late], self.now - days * DAY)
        return new

    def rows_of(self, items: Sequence[Id]) -> I32:
        """Rows of the items that the catalogue has."""
        texts = [*map(str, items)]
        late = {} if self.extended is None else self.extended.changes.by_id
        rows = zip(texts, self.tables.ids.rows_of(texts), strict=True)
        found = [late.get(text) if row is None else row for text, row in rows]
        return np.array([row for row in found if row is not None], np.int32)

    @property
    def _all(self) -> ItemTables:
        return self.tables if self.extended is None else self.extended
