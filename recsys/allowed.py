"""Which items a filter leaves of a generation: one pass over the content, and kept, since filters come again.

A filter names columns, and of each the values of which an item has to have one. It travels as content tokens in a row
of FILTER_TOKENS, the first of each column negative: [-3, 5, -9, 0, 0, ...] is (3 or 5) and 9.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from recsys.grown import NO_ROWS, Grown
from recsys.kernels import search
from recsys.sources import most_popular
from recsys.tables import ItemTables
from recsys.types import CANDIDATES, HISTORY_LENGTH, I32, PAD, Bool

FILTER_TOKENS = 64
"""Of one filter on its way to retrieval, at most: all that one column may name, 256 bytes beside a row's 1,490."""

NO_ITEM = 2**31 - 1
"""Stands for a column of which no item of the generation has a value that is asked for: no content names it."""

DIRECT = 8
"""Up to one item in so many is listed and scored, with no look at the others. Of 100,000 items, medians, a query alone
and of eight at once: an eighth listed .37 and .35 ms, scanned .72 and .61; a fifth listed .90 and .61, scanned .58 and
.54."""

HELD_BYTES = 32 << 20
"""What is kept of filters takes a generation in one process so much at most: 167 of 100,000 items, 16 of a million."""

HELD, HELD_LEAST = 256, 4
"""Filters that are kept, at most, and whatever they take."""


def packed(columns: Iterable[Sequence[int]]) -> I32:
    """The row [FILTER_TOKENS] of a filter, given as tokens of each column; the same whatever their order.

    Where not all of them fit, columns of many values are left out: what is found then is to be filtered again.
    """
    row, end = np.zeros(FILTER_TOKENS, np.int32), 0
    for tokens in sorted((sorted(set(tokens)) or [NO_ITEM] for tokens in columns), key=lambda each: (len(each), each)):
        if end + len(tokens) > FILTER_TOKENS:
            break
        row[end : end + len(tokens)] = (-tokens[0], *tokens[1:])
        end += len(tokens)
    return row


def unpacked(row: I32) -> Iterator[I32]:
    """The tokens of each column; inverse of `packed`."""
    tokens = row[row != 0]
    for column in np.split(tokens, np.flatnonzero(tokens < 0)):
        if len(column):
            yield np.abs(column)


@dataclass(frozen=True, eq=False)
class Allowed:
    """What a filter leaves of a generation and of what was put since: only items that may be shown.

    may: whether it is allowed, of any row that is known. count: how many of the generation's are.
    rows: [r] int32 of the generation's, ascending; None where so
    many are left that to look at all is cheaper. popular: [p] int32, the most popular, best first.
    """

    may: Grown
    count: int
    rows: I32 | None
    popular: I32

    @classmethod
    def of(cls, may: Grown, popular: I32 = NO_ROWS) -> Allowed:
        """What is left, listed where it is little."""
        count = int(np.count_nonzero(may.base))
        few = count <= len(may.base) // DIRECT
        return cls(may, count, np.flatnonzero(may.base).astype(np.int32) if few else None, popular)

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
        self._held = max(HELD_LEAST, min(HELD, HELD_BYTES // (2 * max(len(tables), 1))))
        self._passing = lru_cache(self._held)(self._pass)
        self._known = lru_cache(self._held)(self._look)
        self._passing(packed([[]]).tobytes())  # so that no request waits until the kernel is compiled

    def over(self, tables: ItemTables) -> AllowedItems:
        """The same over grown tables: which of the generation's items a filter lets pass is known already."""
        other = object.__new__(AllowedItems)
        other._tables, other._held, other._passing = tables, self._held, self._passing
        other._known = lru_cache(other._held)(other._look)
        return other

    def of(self, filters: I32) -> list[Allowed | None]:
        """What each row [FILTER_TOKENS] of filters [B, FILTER_TOKENS] leaves; None where it asks for nothing."""
        return [self._known(row.tobytes()) if row[0] else None for row in filters]

    def _look(self, row: bytes) -> Allowed:
        tables, available, content = self._tables, self._tables.available, self._tables.content
        shown = available.base if isinstance(available, Grown) else np.asarray(available)
        passed = np.unpackbits(self._passing(row), count=len(shown)).view(bool) & shown
        if isinstance(available, Grown) and isinstance(content, Grown):
            may = Grown(passed, available.rows, _meets(content.tail, *self._bits(row)) & available.tail)
        else:
            may = Grown(passed, NO_ROWS, np.zeros(0, bool))
        return Allowed.of(may, most_popular(tables, CANDIDATES + HISTORY_LENGTH, may))

    def _pass(self, row: bytes) -> np.ndarray:
        """Which of the generation's items pass, shown or not: a bit each."""
        content = self._tables.content
        passed = np.empty(len(content), bool)
        search.passing(np.asarray(content), *self._bits(row), passed)
        return np.packbits(passed)

    def _bits(self, row: bytes) -> tuple[np.ndarray, np.uint8]:
        """For each content token a bit for each column that asks for it; and the bits of all columns."""
        bits, every = np.zeros(self._tables.vocabulary, np.uint8), 0
        for place, tokens in enumerate(unpacked(np.frombuffer(row, np.int32))):
            bits[tokens[tokens < len(bits)]] |= np.uint8(1 << place)
            every |= 1 << place
        return bits, np.uint8(every)


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


def _meets(content: I32, bits: np.ndarray, every: np.uint8) -> Bool:
    """Which rows of content [m, C] have a token for every column. Of so few numpy is as fast as a kernel."""
    met: Bool = np.bitwise_or.reduce(bits[content], axis=1) == every
    return met
