"""Two ways to find what may be among the best of all items. Both are exact and return the same list."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.kernels import asking, search
from recsys.kernels.keys import U64
from recsys.kernels.products import LANES
from recsys.kernels.words import ROWS, fast_here, side_by_side
from recsys.retrieval.int8_embeddings import TINY
from recsys.types import F32, F64, I8, I16, I32, I64, Bool

LEAST = -(2**31)
"""Below the score of every row, in steps."""

FARTHEST = 1 << 40
"""Of a margin, in steps: farther apart than any two scores."""

MOST = 127 * 256 + 127
"""Of a user's numbers: both bytes of one have a sign."""

ROOM = 8_192
"""Rows that may be listed for a query, or 16 k: of 100,000 made-up items 930 are, for the best 500."""

OF_ITS_OWN = 16 << 20
"""Bytes of a table that each process may have to itself, of each generation it holds: 250,000 items of 64 numbers."""


@dataclass(frozen=True)
class Items:
    """What is looked through: embeddings [n, d], and a table [n, W] of the same as bytes, one apart by `step`.

    off, long: how far a row of the table is from its embedding, and how long one is, at most.
    """

    embeddings: F32
    table: I8
    step: float
    off: float
    long: float

    @property
    def product_off(self) -> tuple[float, float]:
        """By how much an inner product of float32 with a user may be off, in whatever order it is added.

        So much times the user's norm, and so much more: d sums and products, each off by a share of 2^-24 at most
        (Higham, "Accuracy and Stability of Numerical Algorithms", 3.1) and, where numbers are too small for that, by
        half of the smallest one.
        """
        d = self.embeddings.shape[1]
        return 1.01 * d * 2.0**-24 * (self.long + self.off), d * 2.0**-149


class Bytes:
    """Lists what may be among the best: products of the table's bytes and of users as numbers of two bytes."""

    def __init__(self, items: Items) -> None:
        self._items = items
        width = items.table.shape[1]
        self._most = min(MOST, (2**31 - 1) // (128 * width))  # of a sum in four bytes
        self._end = search.last(items.table, -(-width // LANES) * LANES)
        self._of = (items.off, items.long, items.step, *items.product_off)
        self._words = np.zeros((0, 1, ROWS), np.int32)  # here none, of the same kind: the kernel is compiled once

    def __call__(self, users: F32, norms: F64, k: int, shown: Bool) -> tuple[U64, I64]:
        """Keys [B, room], of which the first so many [B] of each user [B, d] hold the k best by float32, unsorted.

        Keys are those of `kernels.search.rescore`. -1 for how many where all rows may be among the best. norms: [B] of
        users. shown: [n], k of them at least; only those are listed.
        """
        of, counts = np.empty((len(users), room(k)), np.uint64), np.empty(len(users), np.int64)
        tables = self._items.embeddings, self._items.table, self._end, self._words
        search.find(users, norms, *tables, *self._of, self._most, TINY, FARTHEST, LEAST, shown, k, of, counts)
        return of, counts

    def asked(self, users: F32, norms: F64) -> tuple[I16, I64]:
        """Users [B, d] in numbers of two bytes, [B, chunks, LANES], and how far below a score is as good, in steps."""
        queries, margins = np.zeros((len(users), self._end.shape[1]), np.int16), np.empty(len(users), np.int64)
        whole = np.empty((0, 2, self._items.table.shape[1]), np.int8), np.empty(0, np.int32)  # nothing in halves
        asking.ask(users, norms, self._of, self._most, TINY, FARTHEST, queries, margins, *whole)
        return queries.reshape(len(users), queries.shape[1] // LANES, LANES), margins


class Words(Bytes):
    """The same over four bytes of thirty-two rows at once, where the processor can.

    It holds a table of its own for that, as large as the one that processes share.
    """

    def __init__(self, items: Items) -> None:
        super().__init__(items)
        self._words = side_by_side(items.table)


def scan_of(items: Items) -> Bytes:
    """The scan for these items: by words where the processor has VNNI and the table is small, else by bytes.

    Fixed rules and no measurement on the host decide (docs/decisions.md, 2026-11-30).
    """
    return Words(items) if fast_here() and items.table.nbytes <= OF_ITS_OWN else Bytes(items)


def lists(queries: int, k: int) -> tuple[I32, I32, I64]:
    """Rows, scores and counts for a kernel to fill."""
    shape = queries, room(k)
    return np.empty(shape, np.int32), np.empty(shape, np.int32), np.zeros(queries, np.int64)


def room(k: int) -> int:
    """Rows that may be listed for a query that wants k."""
    return max(ROOM, 16 * k) + 2 * search.TILE


def rescored(users: F32, embeddings: F32, listed: I32, counts: I64) -> U64:
    """Keys [B, most] of the first so many [B] of what is listed [B, n]: the inner products with users [B, d]."""
    of, product = np.empty((len(users), max(counts.max(), 0)), np.uint64), np.empty(1, np.float32)
    search.rescore(users, embeddings, listed, counts, product, product.view(np.uint32), of)
    return of
