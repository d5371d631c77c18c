"""The filters of candidate items: unavailable, already seen, excluded by the request, or outside its conditions.

Each filter has a name, which answers give as the reason. `make_slate` removes the items that it finds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from recsys.filters.compiled_conditions import meets
from recsys.retrieval.candidates import among
from recsys.slates.query import Query
from recsys.types import I32, Bool


class CandidateFilter(NamedTuple):
    """A filter. gone: the mask of the rows to remove, over any rows of a query's generation; None if there are none."""

    reason: str
    gone: Callable[[Query, I32], Bool | None]


def _unavailable(query: Query, rows: I32) -> Bool:
    """Items that are hidden, and new items that this process has not received."""
    if not query.rules.rules.hide_unavailable:
        return ~query.generation.holds(rows)  # such a row has no item id
    return ~query.generation.shows(rows)


def _seen(query: Query, rows: I32) -> Bool | None:
    """Items of the user's past, if the rule for seen items excludes them."""
    seen = query.seen
    return among(rows, seen) if len(seen) else None


def _excluded(query: Query, rows: I32) -> Bool | None:
    """Items that the request excludes."""
    return among(rows, query.excluded) if len(query.excluded) else None


def _unmatched(query: Query, rows: I32) -> Bool | None:
    """Items that do not meet a condition of the request's filter."""
    if not query.matches:
        return None
    return ~meets(query.matches, query.generation.filter_tokens(rows), query.generation.all_tables.numbers[rows])


FILTERS = (
    CandidateFilter("unavailable", _unavailable),
    CandidateFilter("seen", _seen),
    CandidateFilter("excluded", _excluded),
    CandidateFilter("filter", _unmatched),
)
"""All filters in their order. The first that removes an item gives the reason."""


def remove_filtered(query: Query) -> None:
    """Remove the candidates that a filter excludes."""
    for each in FILTERS:
        gone = each.gone(query, query.items)
        if gone is not None:
            query.remove(gone, each.reason)


def allowed(query: Query, rows: I32) -> Bool:
    """Mask of the rows that pass every filter."""
    kept = np.ones(len(rows), bool)
    for each in FILTERS:
        gone = each.gone(query, rows[kept])
        if gone is not None:
            kept[kept] = ~gone
    return kept
