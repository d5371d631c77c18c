"""The items that a request's filter allows: those that meet its conditions and are available; results are cached.

A filter is a set of conditions on an item's columns, such as a category or a price, packed into a row of integers
(`recsys.filters.compiled_conditions`). The items are those of one generation (one trained set of models and tables) and
those added after training through PUT /items. The sources of candidates and the search read them.
"""

from __future__ import annotations

import copy
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from recsys.filters.compiled_conditions import Match, NumberMatch, TokenMatch, meets, packed, unpacked
from recsys.fresh_items.extended_column import NO_ROWS, ExtendedColumn, base
from recsys.generation.item_tables import ItemTables
from recsys.kernels.kernel_table import rows_with_tokens
from recsys.retrieval.sources.popular import most_popular
from recsys.types import CANDIDATES, F64, HISTORY_LENGTH, I32, PAD, Bool

HELD_BYTES = 32 << 20
"""Memory of cached filters of a generation in one process: 167 filters of 100,000 items, 16 of a million."""

HELD, HELD_LEAST = 256, 4
"""Cached filters, at most; and at least, whatever memory they take."""

WALKED = 32
"""A filter that keeps more than one item in so many: its most popular items are read off the order of popularity. Of
fewer items all are sorted."""

POPULAR = CANDIDATES + HISTORY_LENGTH
"""Popular items of a filter, at most: the candidates of a query and the items that its history may exclude."""

FEW = 8
"""Up to one item in so many is listed and scored without a scan of the others. Of 100,000 items an eighth took .37 ms
listed and .72 scanned, a fifth .90 listed and .58 scanned (one query, median)."""

SORTED = 64
"""Fewer rows than one item in so many are sorted; more are marked in a mask of all items."""

_NO_CONTENT: I32 = np.zeros((0, 0), np.int32)


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
    """Finds the items that each filter allows, in the item tables of a retriever.

    Two caches keep the items of the last filters: those that match, whether available or not, and those that are also
    available. A change of availability through PUT /items empties the second cache alone. No cache refers to its owner,
    so the memory of dropped tables is free at once.
    """

    def __init__(self, tables: ItemTables) -> None:
        self._held = max(HELD_LEAST, min(HELD, HELD_BYTES // (2 * max(len(tables), 1))))
        self._matching = lru_cache(self._held)(_MatchingItems(tables).of)
        self._places = np.empty(len(tables), np.int32)
        self._places[tables.by_popularity] = np.arange(len(tables), dtype=np.int32)
        self._cached = self._cache(tables)
        self._matching(packed([TokenMatch(())]).tobytes())  # compiles the kernel before the first request

    def over(self, tables: ItemTables) -> AllowedItems:
        """The same for tables with items added since. Both share the generation's items that match each filter."""
        other: AllowedItems = copy.copy(self)
        other._cached = self._cache(tables)
        return other

    def of(self, filters: I32) -> list[Allowed | None]:
        """The items that each row of filters [B, FILTER_WORDS] allows; None for a row without conditions."""
        return [self._cached(row.tobytes()) if row[0] else None for row in filters]

    def _cache(self, tables: ItemTables) -> Callable[[bytes], Allowed]:
        return lru_cache(self._held)(_AvailableItems(tables, self._places, self._matching).of)


class _AvailableItems:
    """The items of tables that match a filter and are available."""

    def __init__(self, tables: ItemTables, places: I32, matching: Callable[[bytes], I32 | Bool]) -> None:
        """places: the place of each row by popularity. matching: as `_MatchingItems.of`."""
        self._tables, self._places, self._matching = tables, places, matching

    def of(self, row: bytes) -> Allowed:
        """The items that a packed filter allows."""
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
        shown, found = np.asarray(base(self._tables.available)), self._matching(row)
        if found.dtype == bool:
            return found & shown, None
        rows, passed = found[shown[found]], np.zeros(len(shown), bool)
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


class _MatchingItems:
    """The items of a generation that match a filter, available or not."""

    def __init__(self, tables: ItemTables) -> None:
        self._content, self._numbers = np.asarray(tables.content), np.asarray(tables.numbers)
        self._vocabulary = tables.vocabulary
        self._orders = [_ascending(column) for column in self._numbers.T]

    def of(self, row: bytes) -> I32 | Bool:
        """The items that match a packed filter: rows, ascending, if a range keeps few items; else a mask of all."""
        wanted = unpacked(np.frombuffer(row, np.int32))
        ranges = [each for each in wanted if isinstance(each, NumberMatch)]
        tokens = [each for each in wanted if isinstance(each, TokenMatch)]
        if few := self._narrowest(ranges):
            return self._among(*few, [*tokens, *ranges])
        passed = self._having(tokens) if tokens else np.ones(len(self._numbers), bool)
        for each in ranges:
            passed &= each.of(_NO_CONTENT, self._numbers)
        return passed

    def _narrowest(self, ranges: Sequence[NumberMatch]) -> tuple[I32, NumberMatch] | None:
        """The rows of the narrowest range, and that range; None if all ranges keep many rows.

        The rows come from the sorted column: a pass over 100,000 numbers takes .1 ms when caches are cold.
        """
        spans = [(self._spans(each), each) for each in ranges]
        least, narrowest = min(spans, key=lambda each: sum(map(len, each[0])), default=([], None))
        if narrowest is None or sum(map(len, least)) > len(self._numbers) // FEW:
            return None
        return np.concatenate(least), narrowest

    def _spans(self, match: NumberMatch) -> list[I32]:
        """The rows in each interval of a match, by ascending number."""
        order, number = self._orders[match.column], self._numbers[:, match.column].item
        # `np.searchsorted` with an order copies the order to 64 bits: .1 ms for 100,000 items.
        return [
            order[bisect_left(order, low, key=number) : bisect_right(order, high, key=number)]
            for low, high in match.intervals
        ]

    def _among(self, rows: I32, met: NumberMatch, wanted: Sequence[Match]) -> I32:
        """The rows that meet all matches, ascending. All rows meet the match `met`."""
        for each in wanted:
            if isinstance(each, TokenMatch):
                rows = rows[each.of(self._content[rows], self._numbers)]
            elif each is not met:
                rows = rows[NumberMatch(0, each.intervals).of(_NO_CONTENT, self._numbers[rows, each.column][:, None])]
        if len(rows) < len(self._numbers) // SORTED:
            return np.sort(rows)
        mask = np.zeros(len(self._numbers), bool)
        mask[rows] = True
        return np.flatnonzero(mask).astype(np.int32)

    def _having(self, wanted: Sequence[TokenMatch]) -> Bool:
        """Which items have a token of each match. Each match has one bit in the byte of a token."""
        bits, passed = np.zeros(self._vocabulary, np.uint8), np.empty(len(self._content), bool)
        for place, each in enumerate(wanted):
            tokens = np.array(each.tokens, np.int64)
            bits[tokens[tokens < len(bits)]] |= np.uint8(1 << place)
        rows_with_tokens(self._content, bits, np.uint8((1 << len(wanted)) - 1), passed)
        return passed


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


def _ascending(column: F64) -> I32:
    """The rows with a number, by ascending number."""
    order: I32 = np.argsort(column)[: np.count_nonzero(~np.isnan(column))].astype(np.int32)
    return order
