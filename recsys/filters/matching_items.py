"""Find the items of the trained catalogue that match a filter, available or not; results of recent filters are cached.

A filter is a set of conditions on an item's columns. `recsys.filters.allowed_items` then removes unavailable items.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from recsys.filters.compiled_conditions import Match, NumberMatch, TokenMatch, unpacked
from recsys.fresh_items.extended_column import NO_ROWS
from recsys.generation.item_tables import ItemTables
from recsys.kernels.kernel_table import rows_with_tokens
from recsys.types import F64, I32, U8, Bool

FEW = 8
"""Up to one item in so many is listed and scored without a scan of the others. Of 100,000 items an eighth took .37 ms
listed and .72 scanned, a fifth .90 listed and .58 scanned (one query, median)."""

SORTED = 64
"""Fewer rows than one item in so many are sorted; more are marked in a mask of all items."""

_NO_CONTENT: I32 = np.zeros((0, 0), np.int32)


class Matching(NamedTuple):
    """rows: [r] int32, ascending, if a range keeps few items; else bits: [n / 8] uint8, one bit for each item."""

    rows: I32
    bits: U8 | None = None


class MatchingItems:
    """Finds the items that match each filter, in the item tables of a generation."""

    def __init__(self, tables: ItemTables, held: int) -> None:
        """held: cached filters, at most."""
        self._content, self._numbers = np.asarray(tables.content), np.asarray(tables.numbers)
        self._vocabulary = tables.vocabulary
        self._orders = [_ascending(column) for column in self._numbers.T]
        self.of = lru_cache(held)(self._of)

    def _of(self, row: bytes) -> Matching:
        """The items that match a packed filter."""
        wanted = unpacked(np.frombuffer(row, np.int32))
        ranges = [each for each in wanted if isinstance(each, NumberMatch)]
        tokens = [each for each in wanted if isinstance(each, TokenMatch)]
        if few := self._narrowest(ranges):
            return Matching(self._among(*few, [*tokens, *ranges]))
        passed = self._having(tokens) if tokens else np.ones(len(self._numbers), bool)
        for each in ranges:
            passed &= each.of(_NO_CONTENT, self._numbers)
        return Matching(NO_ROWS, np.packbits(passed))

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


def _ascending(column: F64) -> I32:
    """The rows with a number, by ascending number."""
    order: I32 = np.argsort(column)[: np.count_nonzero(~np.isnan(column))].astype(np.int32)
    return order
