"""The making of a slate, the ordered list of recommended items, from candidates by filters and the operator's rules.

Rules may take items from the whole catalogue. A query without rules and conditions takes one compiled kernel.
"""

from __future__ import annotations

import numpy as np

from recsys.kernels.jit import contiguous
from recsys.kernels.top_k import Filters, ScoredItems, pick
from recsys.retrieval.candidates import places
from recsys.rules import Catalogue, select
from recsys.types import PAD
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
    generation = query.generation
    catalogue = Catalogue(
        generation.tables,
        lambda rows: allowed(query, rows) & (rows != without),
        generation.manifest.data_end,
        query.now,
        generation.extended,
    )
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
