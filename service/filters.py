"""Which candidates may not be shown, and why. Each filter is one pure method; the runner takes out and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from recsys.candidates import among
from recsys.types import I32, Bool
from service.query import Query


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
    """What has none of the values that the request's filter asks for, in a column it names."""

    reason = "filter"

    def gone(self, query: Query, rows: I32) -> Bool | None:
        """Mask over the rows."""
        if not query.filter:
            return None
        gone = np.zeros(len(rows), bool)
        content = query.generation.content(rows)
        for wanted in asked_tokens(query):
            gone |= ~np.isin(content, wanted).any(axis=1)
        return gone


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


def asked_tokens(query: Query) -> list[list[int]]:
    """Of each column that the request's filter names, the content tokens of the values; none of one that is new."""
    rows = query.generation.spec.token_rows()
    tokens = [[f"{column}={value}" for value in values] for column, values in query.filter.items()]
    return [[rows[token] for token in of_column if token in rows] for of_column in tokens]


def allowed(query: Query, rows: I32) -> Bool:
    """Mask over the rows that every filter lets pass."""
    kept = np.ones(len(rows), bool)
    for each in FILTERS:
        gone = each.gone(query, rows[kept])
        if gone is not None:
            kept[kept] = ~gone
    return kept
