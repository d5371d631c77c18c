"""The making of a slate, the ordered list of recommended items, from candidates by filters and the operator's rules.

Rules may take items from the whole catalogue. A query without rules and conditions takes one compiled kernel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from recsys.kernels.jit import contiguous
from recsys.kernels.top_k import Filters, ScoredItems, pick
from recsys.retrieval.candidates import places
from recsys.retrieval.sources.popular import AT_ONCE
from recsys.rules import select
from recsys.rules.catalogue import DAY, taken_within
from recsys.types import F32, F64, I32, PAD, Bool, Id
from service.recommend.filters import FILTERS, allowed
from service.recommend.query import Query

_NO_MARKS = np.zeros(0, bool)


def make_slate(query: Query, without: int = PAD) -> None:
    """Replace the candidates of a query by the slate, best first; without: a row that the slate must not hold."""
    if without == PAD and query.rules.rules.plain and not (query.filter or query.traced) and _pick(query):
        return
    for each in FILTERS:
        gone = each.gone(query, query.items)
        if gone is not None:
            query.remove(gone, each.reason)
    catalogue = _Catalogue(query, without)
    slate = select(query.items, query.scores, query.k, query.rules, catalogue, query.context_values, query.traced)
    query.words, query.passed_over = slate.moved_by, slate.passed_over
    rows = np.array(slate.items, np.int32)
    at = places(rows, query.items) if slate.places is None else slate.places
    known = at >= 0
    tower, sources = np.full(len(rows), np.nan, np.float32), np.zeros(len(rows), np.uint16)
    tower[known], sources[known] = query.tower[at[known]], query.sources[at[known]]
    if slate.moved_by:
        brought = np.array([slate.source_of(row) for row in slate.items], np.uint16)
        sources[~known] = brought[~known]
    query.tower, query.sources = tower, sources
    query.items, query.scores = rows, np.array(slate.scores, np.float32)


_REASONS = "unavailable", "seen", "excluded"
"""The reasons that the kernel counts, in the order of `FILTERS`."""


def _pick(query: Query) -> bool:
    """Make the slate in one compiled kernel; False if too few candidates are left, which need `select`.

    The kernel knows the filters and the order of the scores, so the query has neither rules nor a filter. It takes 195
    us with cold caches, `select` 449 us (by hand).
    """
    generation, rules = query.generation, query.rules.rules
    shown, available = _NO_MARKS, generation.tables.available_table.base
    if not rules.hide_unavailable:
        shown = generation.knows(query.items)
    elif generation.fresh is not None:
        shown = generation.shows(query.items)
    columns = query.items, query.scores, query.tower, query.sources
    filters = Filters(shown, available, contiguous(query.seen), contiguous(query.excluded))
    slate = ScoredItems(*(np.empty(query.k, each.dtype) for each in columns))
    removed = np.zeros(len(_REASONS), np.int64)
    if pick(ScoredItems(*(contiguous(each) for each in columns)), filters, slate, removed) < query.k:
        return False
    query.items, query.scores, query.tower, query.sources = slate
    for reason, count in zip(_REASONS, removed.tolist(), strict=True):
        if count:
            query.removed[reason] = query.removed.get(reason, 0) + count
    query.words, query.passed_over = {}, {}
    return True


class _Catalogue:
    """The generation of a query, as `select` reads it (`recsys.rules.catalogue`)."""

    def __init__(self, query: Query, without: int) -> None:
        self._query, self._without = query, without

    def blocks(self) -> Iterator[I32]:
        """Every row of the generation, the most popular first, then the rows of new items."""
        generation = self._query.generation
        for start in range(0, len(generation.tables), AT_ONCE):
            yield np.asarray(generation.tables.by_popularity[start : start + AT_ONCE])
        if generation.fresh is not None and len(generation.fresh.rows):
            yield generation.fresh.rows

    def newest(self) -> Iterator[I32]:
        """The rows of new items, the last first, then the rows of the generation, the newest first."""
        generation = self._query.generation
        if generation.fresh is not None and len(generation.fresh.rows):
            yield generation.fresh.newest
        yield generation.tables.newest

    def allowed(self, rows: I32) -> Bool:
        """Mask of the rows that pass every filter."""
        kept: Bool = allowed(self._query, rows) & (rows != self._without)
        return kept

    def content(self, rows: I32) -> I32:
        """Content tokens."""
        return self._query.generation.content(rows)

    def numbers(self, rows: I32) -> F64:
        """The numeric and boolean columns."""
        return self._query.generation.numbers(rows)

    def embeddings(self, rows: I32) -> F32:
        """Item embeddings; zero for new items, which are then unlike all others."""
        tables = self._query.generation.tables
        known = rows < len(tables)
        found: F32 = np.asarray(tables.embeddings[np.where(known, rows, 0)]) * known[:, None]
        return found

    def is_new(self, rows: I32, days: float) -> Bool:
        """Mask of the rows whose first interaction, or last put, is at most so many days ago."""
        generation, now = self._query.generation, self._query.now
        known = rows < len(generation.tables)
        new = generation.fresh.put_since(rows, now - days * DAY) if generation.fresh else np.zeros(len(rows), bool)
        age_days = (now - generation.manifest.data_end) / DAY
        new[known] = taken_within(generation.tables, rows[known], days, age_days)
        return new

    def rows_of(self, items: Sequence[Id]) -> I32:
        """Rows of the items that the generation knows."""
        return self._query.generation.item_rows(items)
