"""Which candidates may not be shown, and why. Each filter is one pure method; the runner takes out and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from recsys.candidates import among
from recsys.matching import meets
from recsys.types import I32, Bool
from service.recommend.query import Query


class CandidateFilter(Protocol):
    """Says which rows go."""

    reason: str

    def gone(self, query: Query, rows: I32) -> Bool | None:
        """Mask over any rows of the query's generation; None where it is clear that nobody goes."""


class SeenItemsFilter:
    """What the user has already had, where that is excluded."""

    reason = "seen"

    def gone(self, query: Query, rows: I32) -> Bool | None:
        """Mask over the rows."""
        seen = query.seen
        return among(rows, seen) if len(seen) else None


class ExcludedItemsFilter:
    """What the request excludes."""

    reason = "excluded"

    def gone(self, query: Query, rows: I32) -> Bool | None:
        """Mask over the rows."""
        return among(rows, query.excluded) if len(query.excluded) else None


class AskedItemsFilter:
    """What does not meet a condition of the request's filter."""

    reason = "filter"

    def gone(self, query: Query, rows: I32) -> Bool | None:
        """Mask over the rows."""
        if not query.matches:
            return None
        return ~meets(query.matches, query.generation.filter_tokens(rows), query.generation.numbers(rows))


class UnavailableItemsFilter:
    """What can't be shown: an item may have been hidden since, and a fresh one be unknown here yet."""

    reason = "unavailable"

    def gone(self, query: Query, rows: I32) -> Bool | None:
        """Mask over the rows."""
        if not query.rules.rules.hide_unavailable:
            return ~query.generation.knows(rows)  # such a row has no id to be said
        return ~query.generation.shows(rows)


FILTERS: Sequence[CandidateFilter] = (
    UnavailableItemsFilter(),
    SeenItemsFilter(),
    ExcludedItemsFilter(),
    AskedItemsFilter(),
)
"""All of them, in the order in which the first says why."""


def allowed(query: Query, rows: I32) -> Bool:
    """Mask over the rows that every filter lets pass."""
    kept = np.ones(len(rows), bool)
    for each in FILTERS:
        gone = each.gone(query, rows[kept])
        if gone is not None:
            kept[kept] = ~gone
    return kept
