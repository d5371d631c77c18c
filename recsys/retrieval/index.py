"""The search index over item embeddings: exact search for the k items with the largest inner products with a user.

Approximate int8 scores of all items give a short list that is sure to contain the best items. The list is scored again
in float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from recsys.filters.allowed_items import Allowed
from recsys.fresh_items.extended_column import NO_ROWS
from recsys.fresh_items.extended_column import table as table_of
from recsys.generation.item_tables import ItemTables
from recsys.kernels import exact_search, quantization, sort_keys
from recsys.kernels.candidate_lists import score
from recsys.kernels.jit import contiguous
from recsys.kernels.sort_keys import U64
from recsys.retrieval.int8_embeddings import rounded
from recsys.retrieval.int8_scan import Int8Scan
from recsys.types import F32, F64, I8, I32, PAD, Bool

LARGEST = float(np.finfo(np.float32).max) / 2
"""Of an inner product: a larger one may be infinite in float32, and infinite scores have no order."""


class Index(Protocol):
    """What retrieval calls of an index of item embeddings. `index_of` decides which index serves a generation."""

    def search(self, users: F32, k: int, allowed: Sequence[Allowed | None] | None = None) -> I32:
        """The k best rows for users [B, d], best first: [B, k] int32, PAD past the end of the rows that may be shown.

        allowed: for each user the rows that its filter leaves, or None without a filter.
        """

    def scored(
        self,
        users: F32,
        k: int,
        hidden: I32 = NO_ROWS,
        shown: I32 = NO_ROWS,
        allowed: Sequence[Allowed | None] | None = None,
    ) -> tuple[I32, F32]:
        """The k best rows and their inner products: both [B, k], PAD and -inf past the end.

        hidden, shown: rows whose availability changed since the generation was made. `allowed` includes the change.
        """

    def count_above(self, users: F32, scores: F32, hidden: I32 = NO_ROWS, shown: I32 = NO_ROWS) -> I32:
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
        self._shown = np.array(available, bool)
        self._count = int(self._shown.sum())
        self._scan = Int8Scan(self._items, rounded(embeddings) if table is None else table)

    def search(self, users: F32, k: int, allowed: Sequence[Allowed | None] | None = None) -> I32:
        """See `Index`."""
        return self.scored(users, k, allowed=allowed)[0]

    def scored(
        self,
        users: F32,
        k: int,
        hidden: I32 = NO_ROWS,
        shown: I32 = NO_ROWS,
        allowed: Sequence[Allowed | None] | None = None,
    ) -> tuple[I32, F32]:
        """See `Index`. The result for a user does not depend on the other users of the batch."""
        found, best = np.full((len(users), k), PAD, np.int32), np.full((len(users), k), -np.inf, np.float32)
        if not found.size:
            return found, best
        users = contiguous(users)
        norms, (may, count) = self._norms(users), self._may(hidden, shown)
        for each, at in _by_filter(allowed, len(users)):
            wanted = min(k, count if each is None else each.count)
            if wanted:
                some = contiguous(users[at]), norms[at], wanted
                rows, scores = self._best(*some, may) if each is None else self._allowed(*some, each)
                found[at, :wanted], best[at, :wanted] = rows, scores
        return found, best

    def _allowed(self, users: F32, norms: F64, k: int, allowed: Allowed) -> tuple[I32, F32]:
        """The k best of the rows that a filter leaves."""
        return (
            self._best(users, norms, k, allowed.mask) if allowed.rows is None else self._among(users, allowed.rows, k)
        )

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

    def count_above(self, users: F32, scores: F32, hidden: I32 = NO_ROWS, shown: I32 = NO_ROWS) -> I32:
        """See `Index`."""
        (may, _), above = self._may(hidden, shown), np.zeros(len(users), np.int32)
        every, every_score = (
            np.arange(len(self._items), dtype=np.int32)[None],
            np.empty((1, len(self._items)), np.float32),
        )
        for row in range(len(users)):
            score(contiguous(users[row : row + 1]), table_of(self._items), every, every_score)
            above[row] = int((every_score[0, may] > scores[row]).sum())
        return above

    def _may(self, hidden: I32, shown: I32) -> tuple[Bool, int]:
        """Which rows may be shown, and how many."""
        if not len(hidden) and not len(shown):
            return self._shown, self._count
        may = self._shown.copy()
        may[hidden], may[shown] = False, True
        return may, int(may.sum())

    def _norms(self, users: F32) -> F64:
        """The norms of users [B, d]. ValueError for a user whose inner products may not be finite."""
        norms = np.empty(len(users))
        if (query := quantization.norms(users, self._scan.longest, LARGEST, norms)) >= 0:
            raise ValueError(f"User {query} of a batch has an embedding that is not finite, or too large to multiply.")
        return norms


def _read(keys: U64, found: I32, best: F32) -> None:
    """Write the rows and scores of the least keys of each user, sorted, into found and best [B, k]."""
    if keys.shape[1]:
        exact_search.read_keys(contiguous(sort_keys.least(keys, found.shape[1])), found, best)


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
