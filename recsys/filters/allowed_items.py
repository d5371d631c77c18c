"""The items that a request's filter allows: those that meet its conditions and are available; results are cached.

A filter is a set of conditions on an item's columns, such as a category or a price, packed into a row of integers
(`recsys.filters.compiled_conditions`). The items are those of one generation (one trained set of models and tables) and
those added after training through PUT /items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from recsys.filters.compiled_conditions import TokenMatch, meets, packed, unpacked
from recsys.filters.matching_items import FEW, MatchingItems
from recsys.fresh_items.extended_column import NO_ROWS, ExtendedColumn
from recsys.generation.item_tables import ItemTables
from recsys.retrieval.sources.popular import most_popular
from recsys.types import CANDIDATES, HISTORY_LENGTH, I32, PAD, Bool

HELD_BYTES = 32 << 20
"""Memory of cached filters of a generation in one process: 167 filters of 100,000 items, 16 of a million."""

HELD, HELD_LEAST = 256, 4
"""Cached filters, at most; and at least, whatever memory they take."""

WALKED = 32
"""A filter that keeps more than one item in so many: its most popular items are read off the order of popularity. Of
fewer items all are sorted."""

POPULAR = CANDIDATES + HISTORY_LENGTH
"""Popular items of a filter, at most: the candidates of a query and the items that its history may exclude."""


@dataclass(frozen=True, eq=False)
class Allowed:
    """The available items that a filter allows, of a generation and of the items added since.

    may: whether an item is allowed, by any known row. count: the allowed items of the generation. rows: [r] int32,
    their rows, ascending; None if they are so many that a search scans all items. popular: [p] int32, the most
    popular, best first.
    """

    may: ExtendedColumn
    count: int
    rows: I32 | None
    popular: I32

    @classmethod
    def of(
        cls, may: ExtendedColumn, popular: Callable[[I32 | None], I32] = lambda _: NO_ROWS, rows: I32 | None = None
    ) -> Allowed:
        """popular: gives the most popular items for the rows, or None. rows: the generation's, if they are known."""
        if rows is None and int(np.count_nonzero(may.base)) <= len(may.base) // FEW:
            rows = np.flatnonzero(may.base).astype(np.int32)
        return cls(may, int(np.count_nonzero(may.base)) if rows is None else len(rows), rows, popular(rows))

    @property
    def mask(self) -> Bool:
        """Whether each row of the generation is allowed: [n]."""
        return self.may.base

    @property
    def put(self) -> Bool:
        """Whether each item added since is allowed, by ascending row: [m]."""
        return self.may.tail


class AllowedItems:
    """Finds the items that each filter allows, in the item tables of a retriever."""

    def __init__(self, tables: ItemTables) -> None:
        self._tables = tables
        self._places = np.empty(len(tables), np.int32)
        self._places[tables.by_popularity] = np.arange(len(tables), dtype=np.int32)
        self._held = max(HELD_LEAST, min(HELD, HELD_BYTES // (2 * max(len(tables), 1))))
        self._matching = MatchingItems(tables, self._held)
        self._cached = lru_cache(self._held)(self._evaluate)
        self._matching.of(packed([TokenMatch(())]).tobytes())  # compiles the kernel before the first request

    def over(self, tables: ItemTables) -> AllowedItems:
        """The same for tables with items added since. Both share the generation's items that match each filter."""
        other = object.__new__(AllowedItems)
        other._tables, other._held, other._matching = tables, self._held, self._matching
        other._places = self._places
        other._cached = lru_cache(other._held)(other._evaluate)
        return other

    def of(self, filters: I32) -> list[Allowed | None]:
        """The items that each row of filters [B, FILTER_WORDS] allows; None for a row without conditions."""
        return [self._cached(row.tobytes()) if row[0] else None for row in filters]

    def _evaluate(self, row: bytes) -> Allowed:
        available, numbers = self._tables.available, self._tables.numbers
        passed, rows = self._shown(row)
        if isinstance(available, ExtendedColumn) and isinstance(numbers, ExtendedColumn):
            matches = unpacked(np.frombuffer(row, np.int32))
            late = meets(matches, self._tables.put_tokens, numbers.tail) & available.tail
            may = ExtendedColumn(passed, available.rows, late)
        else:
            may = ExtendedColumn(passed, NO_ROWS, np.zeros(0, bool))
        return Allowed.of(may, partial(self._popular, may), rows)

    def _shown(self, row: bytes) -> tuple[Bool, I32 | None]:
        """Which items of the generation match and may be shown; and their rows, if they are known."""
        available = self._tables.available
        shown = available.base if isinstance(available, ExtendedColumn) else np.asarray(available)
        found = self._matching.of(row)
        if found.bits is not None:
            return np.unpackbits(found.bits, count=len(shown)).view(bool) & shown, None
        rows, passed = found.rows[shown[found.rows]], np.zeros(len(shown), bool)
        passed[rows] = True
        return passed, rows

    def _popular(self, may: ExtendedColumn, rows: I32 | None) -> I32:
        """The most popular allowed items. rows: the generation's, if they are known."""
        if rows is None or len(rows) > len(self._tables) // WALKED:
            return most_popular(self._tables, POPULAR, may)
        places = self._places[rows]
        if len(rows) > POPULAR:
            first = np.argpartition(places, POPULAR)[:POPULAR]
            rows, places = rows[first], places[first]
        return rows[np.argsort(places)]


def only(items: I32, allowed: Sequence[Allowed | None] | None) -> I32:
    """Items [B, K] with PAD in place of those that are not allowed."""
    if allowed is None:
        return items
    kept = items.copy()
    for row, of in zip(kept, allowed, strict=True):
        if of is not None:
            row[(row != PAD) & ~of.may[row]] = PAD
    return kept


def masks(allowed: Sequence[Allowed | None] | None) -> list[Bool | None] | None:
    """The masks of the generation's rows for a batch."""
    return None if allowed is None else [None if of is None else of.mask for of in allowed]
