"""The candidates that a slate must not hold, each with a reason. Filters are pure; `make_slate` removes and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from recsys.filters.compiled_conditions import meets
from recsys.retrieval.candidates import among
from recsys.types import I32, Bool
from service.recommend.query import Query


class CandidateFilter(Protocol):
    """Finds the rows to remove."""

    reason: str

    def gone(self, query: Query, rows: I32) -> Bool | None:
        """Mask of the rows to remove, over any rows of the query's generation; None if there are none."""


class SeenItemsFilter:
    """Items of the user's past, if the rule for seen items excludes them."""

    reason = "seen"

    def gone(self, query: Query, rows: I32) -> Bool | None:
        """Mask of the rows to remove."""
        seen = query.seen
        return among(rows, seen) if len(seen) else None


class ExcludedItemsFilter:
    """Items that the request excludes."""

    reason = "excluded"

    def gone(self, query: Query, rows: I32) -> Bool | None:
        """Mask of the rows to remove."""
        return among(rows, query.excluded) if len(query.excluded) else None


class RequestFilter:
    """Items that do not meet a condition of the request's filter."""

    reason = "filter"

    def gone(self, query: Query, rows: I32) -> Bool | None:
        """Mask of the rows to remove."""
        if not query.matches:
            return None
        return ~meets(query.matches, query.generation.filter_tokens(rows), query.generation.numbers(rows))


class UnavailableItemsFilter:
    """Items that are hidden, and new items that this process does not know yet."""

    reason = "unavailable"

    def gone(self, query: Query, rows: I32) -> Bool | None:
        """Mask of the rows to remove."""
        if not query.rules.rules.hide_unavailable:
            return ~query.generation.knows(rows)  # such a row has no item id
        return ~query.generation.shows(rows)


FILTERS: Sequence[CandidateFilter] = (
    UnavailableItemsFilter(),
    SeenItemsFilter(),
    ExcludedItemsFilter(),
    RequestFilter(),
)
"""All filters in their order. The first that removes an item gives the reason."""


def allowed(query: Query, rows: I32) -> Bool:
    """Mask of the rows that pass every filter."""
    kept = np.ones(len(rows), bool)
    for each in FILTERS:
        gone = each.gone(query, rows[kept])
        if gone is not None:
            kept[kept] = ~gone
    return kept
