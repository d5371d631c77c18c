"""The search index over item embeddings: exact search for the k items with the largest inner products with a user.

Approximate int8 scores of all items, by the library numkong, give a short list that is sure to contain the best items.
The list is scored again in float32. The retriever uses it for each request.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Protocol

import numkong
import numpy as np

from recsys.filters.allowed_items import Allowed
from recsys.fresh_items.extended_column import table as table_of
from recsys.generation.item_tables import ItemTables
from recsys.kernels import exact_search, top_k
from recsys.kernels.candidate_lists import score
from recsys.kernels.jit import contiguous
from recsys.kernels.quantization import TINY, TableErrors, error, norms_of, quantize_users, rounded, step, width
from recsys.kernels.top_k import U64
from recsys.types import F32, F64, I8, I32, I64, PAD, Bool

LARGEST = float(np.finfo(np.float32).max) / 2
"""Of an inner product: a larger one may be infinite in float32, and infinite scores have no order."""

FARTHEST = 1 << 40
"""A margin above the difference of any two int32 scores."""

ROOM = 8_192
"""Rows that may be listed for a user, or 16 k. Of 100,000 random items about 1,100 are listed for the best 500."""

TOGETHER = 16
"""Users whose scores are computed in one call, at most: the scores of more do not stay in cache."""

CELLS = 1 << 23
"""Scores of one call, at most: 32 MiB."""


class Index(Protocol):
    """What retrieval calls of an index of item embeddings. `index_of` decides which index serves a generation."""

    def over(self, available: Bool) -> Index:
        """The same index after the availability of items changed."""

    def search(self, users: F32, k: int, allowed: Sequence[Allowed | None] | None = None) -> I32:
        """The k best rows for users [B, d], best first: [B, k] int32, PAD past the end of the rows that may be shown.

        allowed: for each user the rows that its filter leaves, or None without a filter.
        """

    def scored(self, users: F32, k: int, allowed: Sequence[Allowed | None] | None = None) -> tuple[I32, F32]:
        """The k best rows and their inner products: both [B, k], PAD and -inf past the end.

        The result for a user does not depend on the other users of the batch.
        """

    def count_above(self, users: F32, scores: F32) -> I32:
        """How many rows that may be shown score higher than `scores` [B] for users [B, d]: [B] int32."""


def index_of(tables: ItemTables) -> Index:
    """The index that serves a generation. To use another library or a vector database, return its adapter here."""
    return ExactIndex(tables.embeddings, tables.available, tables.rounded)


class ExactIndex:
    """Exact top-k over all items that may be shown; equal scores in the order of the rows."""

    def __init__(self, embeddings: F32, available: Bool, table: I8 | None = None) -> None:
        """table: `rounded(embeddings)`, stored in a generation; computed if it is not given.

        ValueError for embeddings that are not finite and for a table of another shape.
        """
        self._items = np.asarray(embeddings)
        self._scan = Int8Scan(self._items, rounded(embeddings) if table is None else table)
        self._show(available)

    def over(self, available: Bool) -> ExactIndex:
        """See `Index`."""
        other: ExactIndex = copy.copy(self)
        other._show(available)
        return other

    def search(self, users: F32, k: int, allowed: Sequence[Allowed | None] | None = None) -> I32:
        """See `Index`."""
        return self.scored(users, k, allowed)[0]

    def scored(self, users: F32, k: int, allowed: Sequence[Allowed | None] | None = None) -> tuple[I32, F32]:
        """See `Index`."""
        found, best = np.full((len(users), k), PAD, np.int32), np.full((len(users), k), -np.inf, np.float32)
        if not found.size:
            return found, best
        users = contiguous(users)
        norms = self._norms(users)
        for each, at in _by_filter(allowed, len(users)):
            wanted = min(k, self._count if each is None else each.count)
            if wanted:
                some = contiguous(users[at]), norms[at], wanted
                if each is not None and each.rows is not None:
                    rows, scores = self._among(some[0], each.rows, wanted)
                else:
                    rows, scores = self._best(*some, self._shown if each is None else each.mask)
                found[at, :wanted], best[at, :wanted] = rows, scores
        return found, best

    def _best(self, users: F32, norms: F64, k: int, may: Bool) -> tuple[I32, F32]:
        """The k best of the rows that may be shown, k at least."""
        found, best = np.empty((len(users), k), np.int32), np.empty((len(users), k), np.float32)
        for start in range(0, len(users), self._scan.batch):
            some = slice(start, start + self._scan.batch)
            keys, counts = self._scan.find(users[some], norms[some], k, may)
            _read(keys[:, : max(counts.max(), 0)], found[some], best[some])
            for query in start + np.flatnonzero(counts < 0):
                rows = np.flatnonzero(may).astype(np.int32)
                found[query], best[query] = self._among(users[query : query + 1], rows, k)
        return found, best

    def _among(self, users: F32, rows: I32, k: int) -> tuple[I32, F32]:
        """The k best of ascending rows, all of which are scored."""
        found, best = np.empty((len(users), k), np.int32), np.empty((len(users), k), np.float32)
        keys = np.empty((1, len(rows)), np.uint64)
        for query in range(len(users)):
            one = slice(query, query + 1)
            exact_search.rescore(users[one], 0, self._items, rows, len(rows), keys)
            _read(keys, found[one], best[one])
        return found, best

    def count_above(self, users: F32, scores: F32) -> I32:
        """See `Index`."""
        above = np.zeros(len(users), np.int32)
        every = np.arange(len(self._items), dtype=np.int32)[None]
        every_score = np.empty(every.shape, np.float32)
        for row in range(len(users)):
            score(contiguous(users[row : row + 1]), table_of(self._items), every, every_score)
            above[row] = int((every_score[0, self._shown] > scores[row]).sum())
        return above

    def _show(self, available: Bool) -> None:
        self._shown = np.array(available, bool)
        self._count = int(self._shown.sum())

    def _norms(self, users: F32) -> F64:
        """The norms of users [B, d]. ValueError for a user whose inner products may not be finite."""
        norms = np.empty(len(users))
        if (query := norms_of(users, self._scan.longest, LARGEST, norms)) >= 0:
            raise ValueError(f"User {query} of a batch has an embedding that is not finite, or too large to multiply.")
        return norms


def _read(keys: U64, found: I32, best: F32) -> None:
    """Write the rows and scores of the least keys of each user, sorted, into found and best [B, k]."""
    if keys.shape[1]:
        exact_search.read_keys(contiguous(top_k.least(keys, found.shape[1])), found, best)


def _by_filter(
    allowed: Sequence[Allowed | None] | None, count: int
) -> Iterator[tuple[Allowed | None, slice | list[int]]]:
    """Each filter of a batch of `count` users with the places of its users, which are searched for together."""
    if allowed is None:
        yield None, slice(count)
        return
    of: dict[int, list[int]] = {}
    for query, each in enumerate(allowed):
        of.setdefault(id(each), []).append(query)
    for queries in of.values():
        yield allowed[queries[0]], queries


class Int8Scan:
    """Lists the items that may be among the best. The list is complete, because the rounding errors are known.

    numkong copies the table into a layout for the processor: 136 bytes an item of 64 numbers, in each process. A single
    user is multiplied with the table as it is, half as many bytes: of 100,000 items .25 ms instead of .9 if the third
    cache holds other data.
    """

    def __init__(self, embeddings: F32, table: I8) -> None:
        """table: `rounded(embeddings)`. With another table the list is longer, and still complete.

        ValueError for a table of another shape.
        """
        if table.shape != (len(embeddings), width(embeddings.shape[1])) or table.dtype != np.int8:
            found = f"{list(table.shape)} {table.dtype}, the embeddings are {list(embeddings.shape)}"
            raise ValueError(f"The int8 table is {found}.")
        self._embeddings, self._width, dim = embeddings, table.shape[1], embeddings.shape[1]
        off, long = error(embeddings, table)
        self.longest = long + off
        # A float32 inner product has d sums and products, each off by a share of 2^-24 at most (Higham, "Accuracy and
        # Stability of Numerical Algorithms", 3.1) and, of numbers too small for that, by half of the smallest number.
        products = 1.01 * dim * 2.0**-24 * self.longest, dim * 2.0**-149
        self._errors = TableErrors(off, long, step(embeddings), *products)
        self._packed = numkong.dots_pack(np.ascontiguousarray(table))
        missing = -self._width % exact_search.COLUMNS
        padded = np.pad(table, ((0, 0), (0, missing))) if missing else np.ascontiguousarray(table)
        self._table = padded.reshape(len(table), -1, exact_search.COLUMNS)
        self.batch = max(1, min(TOGETHER, CELLS // max(len(table), 1)))

    def find(self, users: F32, norms: F64, k: int, shown: Bool) -> tuple[U64, I64]:
        """Sort keys [B, room] of the items that may be among the k best for users [B, d], in no order; and how many.

        norms: [B]. shown: [n], k rows at least. The number is -1 if more than `room` items may be among the best.
        """
        width = self._table.shape[1] * exact_search.COLUMNS
        queries, margins = np.zeros((len(users), width), np.int8), np.empty(len(users), np.int64)
        quantize_users(users, norms, self._errors, TINY, FARTHEST, queries, margins)
        if len(users) == 1:
            scores = np.empty((1, len(self._table)), np.int32)
            query = queries[0].astype(np.int16).reshape(self._table.shape[1:])
            exact_search.product(self._table, query, scores)
        else:
            scores = np.asarray(numkong.dots_packed(queries[:, : self._width], self._packed))
        keys, counts = np.empty((len(users), max(ROOM, 16 * k)), np.uint64), np.empty(len(users), np.int64)
        exact_search.find(scores, margins, shown, k, users, self._embeddings, keys, counts)
        return keys, counts
