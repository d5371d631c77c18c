"""Which items a filter leaves of a generation: one pass over the tables, and kept, since filters come again.

A filter comes as a row of words (`recsys.filters.compiled_conditions`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from recsys.filters.compiled_conditions import TokenMatch, meets, packed, unpacked
from recsys.filters.matching_items import FEW, PassingItems
from recsys.fresh_items.extended_column import NO_ROWS, ExtendedColumn
from recsys.generation.item_tables import ItemTables
from recsys.retrieval.sources.popular import most_popular
from recsys.types import CANDIDATES, HISTORY_LENGTH, I32, PAD, Bool

HELD_BYTES = 32 << 20
"""What is kept of filters takes a generation in one process so much at most: 167 of 100,000 items, 16 of a million."""

HELD, HELD_LEAST = 256, 4
"""Filters that are kept, at most, and whatever they take."""

WALKED = 32
"""A filter that keeps more than one item in so many: the most popular are found in the order of popularity. Of fewer
items all are sorted."""

POPULAR = CANDIDATES + HISTORY_LENGTH
"""Popular items of a filter, at most: as many as a query has candidates, and as its history may exclude."""


@dataclass(frozen=True, eq=False)
class Allowed:
    """What a filter leaves of a generation and of what was put since: only items that may be shown.

    may: whether it is allowed, of any row that is known. count: how many of the generation's are. rows: [r] int32 of
    the generation's, ascending; None where so many are left that to look at all is cheaper. popular: [p] int32, the
    most popular, best first.
    """

    may: ExtendedColumn
    count: int
    rows: I32 | None
    popular: I32

    @classmethod
    def of(
        cls, may: ExtendedColumn, popular: Callable[[I32 | None], I32] = lambda _: NO_ROWS, rows: I32 | None = None
    ) -> Allowed:
        """What is left, listed where it is little. popular: the most popular, given those rows or None."""
        if rows is not None:
            return cls(may, len(rows), rows, popular(rows))
        count = int(np.count_nonzero(may.base))
        few = count <= len(may.base) // FEW
        rows = np.flatnonzero(may.base).astype(np.int32) if few else None
        return cls(may, count, rows, popular(rows))

    @property
    def mask(self) -> Bool:
        """Of the generation's rows: [n]."""
        return self.may.base

    @property
    def put(self) -> Bool:
        """Of what was put since, by ascending row: [m]."""
        return self.may.tail


class AllowedItems:
    """Tells what filters leave, as of the tables of a retriever; of filters that were asked for of late it knows."""

    def __init__(self, tables: ItemTables) -> None:
        self._tables = tables
        self._places = np.empty(len(tables), np.int32)
        self._places[tables.by_popularity] = np.arange(len(tables), dtype=np.int32)
        self._held = max(HELD_LEAST, min(HELD, HELD_BYTES // (2 * max(len(tables), 1))))
        self._passing = PassingItems(tables, self._held)
        self._known = lru_cache(self._held)(self._look)
        self._passing.of(packed([TokenMatch(())]).tobytes())  # so that no request waits until the kernel is compiled

    def over(self, tables: ItemTables) -> AllowedItems:
        """The same over grown tables: which of the generation's items a filter lets pass is known already."""
        other = object.__new__(AllowedItems)
        other._tables, other._held, other._passing = tables, self._held, self._passing
        other._places = self._places
        other._known = lru_cache(other._held)(other._look)
        return other

    def of(self, filters: I32) -> list[Allowed | None]:
        """What each row [FILTER_WORDS] of filters [B, FILTER_WORDS] leaves; None where it asks for nothing."""
        return [self._known(row.tobytes()) if row[0] else None for row in filters]

    def _look(self, row: bytes) -> Allowed:
        available, numbers = self._tables.available, self._tables.numbers
        passed, rows = self._shown(row)
        if isinstance(available, ExtendedColumn) and isinstance(numbers, ExtendedColumn):
            wanted = unpacked(np.frombuffer(row, np.int32))
            late = meets(wanted, self._tables.put_tokens, numbers.tail) & available.tail
            may = ExtendedColumn(passed, available.rows, late)
        else:
            may = ExtendedColumn(passed, NO_ROWS, np.zeros(0, bool))
        return Allowed.of(may, partial(self._popular, may), rows)

    def _shown(self, row: bytes) -> tuple[Bool, I32 | None]:
        """Which of the generation's items pass and may be shown; and their rows, where those are known."""
        available = self._tables.available
        shown = available.base if isinstance(available, ExtendedColumn) else np.asarray(available)
        found = self._passing.of(row)
        if found.bits is not None:
            return np.unpackbits(found.bits, count=len(shown)).view(bool) & shown, None
        rows, passed = found.rows[shown[found.rows]], np.zeros(len(shown), bool)
        passed[rows] = True
        return passed, rows

    def _popular(self, may: ExtendedColumn, rows: I32 | None) -> I32:
        """The most popular of what may be shown. rows: the generation's, where they are known."""
        if rows is None or len(rows) > len(self._tables) // WALKED:
            return most_popular(self._tables, POPULAR, may)
        places = self._places[rows]
        if len(rows) > POPULAR:
            first = np.argpartition(places, POPULAR)[:POPULAR]
            rows, places = rows[first], places[first]
        return rows[np.argsort(places)]


def only(items: I32, allowed: Sequence[Allowed | None] | None) -> I32:
    """Items [B, K], PAD in place of those that are not allowed."""
    if allowed is None:
        return items
    kept = items.copy()
    for row, of in zip(kept, allowed, strict=True):
        if of is not None:
            row[(row != PAD) & ~of.may[row]] = PAD
    return kept


def masks(allowed: Sequence[Allowed | None] | None) -> list[Bool | None] | None:
    """Which of the generation's rows are allowed to each of a batch."""
    return None if allowed is None else [None if of is None else of.mask for of in allowed]
