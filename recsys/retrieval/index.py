"""The searchable item embeddings of one generation: exact, by inner product.

Scores of all items are computed nearly right, and the largest error is known. So what may be among the best is a short
list, and that list is scored again in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np

from recsys.filters.allowed_items import Allowed
from recsys.fresh_items.extended_column import NO_ROWS
from recsys.fresh_items.extended_column import table as table_of
from recsys.generation.item_tables import ItemTables
from recsys.kernels import asking, keys, search
from recsys.kernels.compiled import plain
from recsys.kernels.keys import U64
from recsys.kernels.sources import score
from recsys.retrieval.int8_embeddings import error, rounded, step, width
from recsys.retrieval.scans import Bytes, Items, rescored, scan_of
from recsys.types import F32, F64, I8, I32, I64, PAD, Bool

LARGEST = float(np.finfo(np.float32).max) / 2
"""Of an inner product: what is larger may be infinite by float32, and infinite ones have no order."""

TOGETHER = 32
"""Users at once, at most: 2 MiB of lists; each tile of the table is read once for all of them."""


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

        hidden, shown: rows whose availability changed since the generation was made.
        """

    def count_above(self, users: F32, scores: F32, hidden: I32 = NO_ROWS, shown: I32 = NO_ROWS) -> I32:
        """How many rows that may be shown score higher than `scores` [B] for users [B, d]: [B] int32."""


def index_of(tables: ItemTables) -> Index:
    """The index that serves a generation. To use another library or a vector database, return its adapter here."""
    return ExactIndex(tables.embeddings, tables.available, tables.rounded)


class ExactIndex:
    """Top-k by float32 inner product over all items that may be shown."""

    def __init__(
        self, embeddings: F32, available: Bool, table: I8 | None = None, scan: Callable[[Items], Bytes] = scan_of
    ) -> None:
        """table: `rounded(embeddings)`, mapped from a generation so that workers share it; without, it is made here.

        Whatever stands in it, what is found is right: how far it is off is measured. scan: how to look through it.
        ValueError of NaN, and of a table of another shape.
        """
        self._items = np.asarray(embeddings)
        self._shown = np.array(available, bool)
        self._count = int(self._shown.sum())
        table = rounded(embeddings) if table is None else np.ascontiguousarray(table)
        if table.shape != (len(embeddings), width(embeddings.shape[1])) or table.dtype != np.int8:
            told = f"{list(table.shape)} {table.dtype}, the embeddings are {list(embeddings.shape)}"
            raise ValueError(f"The table of bytes is {told}.")
        off, long = error(embeddings, table)
        self._scanned = Items(self._items, table, step(embeddings), off, long)
        self._longest = long + off
        self._scan = scan(self._scanned)

    def search(self, users: F32, k: int, allowed: Sequence[Allowed | None] | None = None) -> I32:
        """The k best rows for users [B, d], best first: [B, k] int32, PAD past the end of what there is."""
        return self.scored(users, k, allowed=allowed)[0]

    def scored(
        self,
        users: F32,
        k: int,
        hidden: I32 = NO_ROWS,
        shown: I32 = NO_ROWS,
        allowed: Sequence[Allowed | None] | None = None,
    ) -> tuple[I32, F32]:
        """The k best rows for users [B, d], best first, and their scores: both [B, k], PAD and -inf past the end.

        hidden, shown: rows that may not, and may, be shown against what was said when the index was made. allowed: for
        each user, where only some rows are wanted, which of those that may be shown. What others of the batch want
        changes nothing.
        """
        found, best = np.empty((len(users), k), np.int32), np.empty((len(users), k), np.float32)
        may, shown_now = self._may(hidden, shown)
        if allowed is None and 0 < k <= shown_now and len(users):
            users = plain(users)
            self._search(users, self._norms(users), may, found, best)
            return found, best
        found.fill(PAD)
        best.fill(-np.inf)
        if not min(k, shown_now) or not len(users):
            return found, best
        users = plain(users)
        norms = self._norms(users)
        for of, at in _by_filter(allowed or [None] * len(users)):
            count = min(k, shown_now if of is None else of.count)
            if not count:
                continue
            some = plain(users[at])
            items, scores = np.full((len(some), count), PAD, np.int32), np.full((len(some), count), -np.inf, np.float32)
            if of is not None and of.rows is not None:
                for query in range(len(some)):
                    self._among(of.rows, some, query, items, scores)
            elif of is not None:
                self._search(some, norms[at], of.mask, items, scores)
            else:
                self._search(some, norms[at], may, items, scores)
            found[at, :count], best[at, :count] = items, scores
        return found, best

    def _search(self, users: F32, norms: F64, may: Bool, found: I32, best: F32) -> None:
        """Fill found and best [B, k] with the best of the rows that may be shown, which are k at least."""
        for start in range(0, len(users), TOGETHER):
            some = slice(start, start + TOGETHER)
            of, counts = self._scan(users[some], norms[some], found.shape[1], may)
            told = counts.tolist()
            _pick(of, max(told), found[some], best[some])
            for query, count in enumerate(told, start):
                if count < 0:
                    self._among(np.flatnonzero(may).astype(np.int32), users, query, found, best)

    def _among(self, rows: I32, users: F32, query: int, found: I32, best: F32) -> None:
        """Fill the query's row of found and best [B, k] with the best of ascending rows, all of which are scored."""
        one = slice(query, query + 1)
        self._rescore(users[one], rows[None], np.array([len(rows)]), found[one], best[one])

    def count_above(self, users: F32, scores: F32, hidden: I32 = NO_ROWS, shown: I32 = NO_ROWS) -> I32:
        """How many rows that may be shown score higher than `scores` [B] for users [B, d]: [B] int32."""
        (may, _), above = self._may(hidden, shown), np.zeros(len(users), np.int32)
        everything = np.arange(len(self._items), dtype=np.int32)[None]
        for row in range(len(users)):
            all_scores = np.empty(everything.shape, np.float32)
            score(plain(users[row : row + 1]), table_of(self._items), everything, all_scores)
            all_scores[0, ~may] = -np.inf
            above[row] = int((all_scores > scores[row]).sum())
        return above

    def _may(self, hidden: I32, shown: I32) -> tuple[Bool, int]:
        """Which rows may be shown, and how many."""
        if not len(hidden) and not len(shown):
            return self._shown, self._count
        may = self._shown.copy()
        may[hidden], may[shown] = False, True
        return may, int(may.sum())

    def _rescore(self, users: F32, listed: I32, counts: I64, found: I32, best: F32) -> None:
        """Fill found and best [B, k] with the best of the first so many [B] of what is listed [B, n].

        What is none is left as it is.
        """
        _pick(rescored(users, self._items, listed, counts), max(counts.tolist()), found, best)

    def _norms(self, users: F32) -> F64:
        """Those of users [B, d]: [B]. ValueError of users whose inner products may not be finite."""
        norms = np.empty(len(users))
        if (query := asking.norms(users, self._longest, LARGEST, norms)) >= 0:
            raise ValueError(f"User {query} of a batch has an embedding that is not finite, or too large to multiply.")
        return norms


def _pick(of: U64, most: int, found: I32, best: F32) -> None:
    """Fill found and best [B, k] with the least of the first `most` of keys [B, room]."""
    if most > 0:
        search.pick(plain(keys.least(of[:, :most], found.shape[1])), found, best.view(np.uint32))


def _by_filter(allowed: Sequence[Allowed | None]) -> Iterator[tuple[Allowed | None, list[int]]]:
    """What is allowed, and who of a batch asks for it: those who ask for the same are searched for together."""
    of: dict[int, list[int]] = {}
    for query, each in enumerate(allowed):
        of.setdefault(id(each), []).append(query)
    for queries in of.values():
        yield allowed[queries[0]], queries
