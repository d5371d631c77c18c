"""The slate of a query: filters, then the rules, over the candidates and the catalogue of its generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from recsys.candidates import places
from recsys.kernels import slates as kernel
from recsys.kernels.compiled import plain
from recsys.retrieval.sources.popular import AT_ONCE
from recsys.rules import select
from recsys.rules.catalogue import DAY, taken_within
from recsys.types import F32, F64, I32, PAD, Bool, Id
from service.recommend.filters import FILTERS, allowed
from service.recommend.query import Query

_NO_MARKS = np.zeros(0, bool)


def make_slate(query: Query, without: int = PAD) -> None:
    """Set the final k candidates of a query, best first; without: a row that never is among them."""
    if without == PAD and query.rules.rules.plain and not (query.filter or query.traced) and _picked(query):
        return
    for each in FILTERS:
        gone = each.gone(query, query.items)
        if gone is not None:
            query.remove(gone, each.reason)
    catalogue = _Catalogue(query, without)
    slate = select(query.items, query.scores, query.k, query.rules, catalogue, query.context_values, query.traced)
    query.words, query.passed_over = slate.words, slate.passed_over
    rows = np.array(slate.items, np.int32)
    at = places(rows, query.items) if slate.places is None else slate.places
    known = at >= 0
    tower, sources = np.full(len(rows), np.nan, np.float32), np.zeros(len(rows), np.uint16)
    tower[known], sources[known] = query.tower[at[known]], query.sources[at[known]]
    if slate.words:
        brought = np.array([slate.brought(row) for row in slate.items], np.uint16)
        sources[~known] = brought[~known]
    query.tower, query.sources = tower, sources
    query.items, query.scores = rows, np.array(slate.scores, np.float32)


_PICKED = "unavailable", "seen", "excluded"
"""Why a candidate is removed, in the order of `FILTERS`."""


def _picked(query: Query) -> bool:
    """The same in one go, where nothing but the hard filters and the order of the scores counts, and k are left.

    With everything driven from the cache before, line by line: 195 us, and 449 the longer way (by hand).
    """
    generation, rules = query.generation, query.rules.rules
    shown, available = _NO_MARKS, generation.tables.available_table.base
    if not rules.hide_unavailable:
        shown = generation.knows(query.items)
    elif generation.fresh is not None:
        shown = generation.shows(query.items)
    items, scores = np.empty(query.k, np.int32), np.empty((2, query.k), np.float32)
    sources, removed = np.empty(query.k, np.uint16), np.zeros(len(_PICKED), np.int64)
    columns = plain(query.items), plain(query.scores), plain(query.tower), plain(query.sources)
    gone = plain(query.seen), plain(query.excluded)
    if kernel.pick(*columns, shown, available, *gone, items, scores, sources, removed) < query.k:
        return False
    query.items, query.sources, (query.scores, query.tower) = items, sources, scores
    for reason, count in zip(_PICKED, removed.tolist(), strict=True):
        if count:
            query.removed[reason] = query.removed.get(reason, 0) + count
    query.words, query.passed_over = {}, {}
    return True


class _Catalogue:
    """A query's generation, as selection asks of it."""

    def __init__(self, query: Query, without: int) -> None:
        self._query, self._without = query, without

    def blocks(self) -> Iterator[I32]:
        """Every row, the most popular first, and behind them what was put since."""
        generation = self._query.generation
        for start in range(0, len(generation.tables), AT_ONCE):
            yield np.asarray(generation.tables.by_popularity[start : start + AT_ONCE])
        if generation.fresh is not None and len(generation.fresh.rows):
            yield generation.fresh.rows

    def newest(self) -> Iterator[I32]:
        """What was put since, the last first, and behind it the newest rows of the generation."""
        generation = self._query.generation
        if generation.fresh is not None and len(generation.fresh.rows):
            yield generation.fresh.newest
        yield generation.tables.newest

    def allowed(self, rows: I32) -> Bool:
        """Which rows pass every filter."""
        kept: Bool = allowed(self._query, rows) & (rows != self._without)
        return kept

    def content(self, rows: I32) -> I32:
        """Content tokens."""
        return self._query.generation.content(rows)

    def numbers(self, rows: I32) -> F64:
        """The numeric and boolean columns."""
        return self._query.generation.numbers(rows)

    def embeddings(self, rows: I32) -> F32:
        """Item embeddings; zero for what was put since, which is then unlike everything."""
        tables = self._query.generation.tables
        known = rows < len(tables)
        found: F32 = np.asarray(tables.embeddings[np.where(known, rows, 0)]) * known[:, None]
        return found

    def is_new(self, rows: I32, days: float) -> Bool:
        """Which rows were first taken in the last so many days, or, fresh ones, put; each put makes one new again."""
        generation, now = self._query.generation, self._query.now
        known = rows < len(generation.tables)
        new = generation.fresh.put_since(rows, now - days * DAY) if generation.fresh else np.zeros(len(rows), bool)
        age_days = (now - generation.manifest.data_end) / DAY
        new[known] = taken_within(generation.tables, rows[known], days, age_days)
        return new

    def rows_of(self, items: Sequence[Id]) -> I32:
        """Rows of the items that are known."""
        return self._query.generation.item_rows(items)
