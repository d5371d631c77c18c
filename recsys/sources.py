"""Sources that need no model: what is popular, what is new in liked categories, what a user comes back to."""

from __future__ import annotations

import copy

import numpy as np

from recsys.grown import Grown
from recsys.kernels import sources
from recsys.kernels.compiled import plain
from recsys.spec import NO_TOKEN
from recsys.tables import ItemTables
from recsys.types import I32, PAD, Bool, padded

FRESH_PER_TOKEN = 8
LIKED_TOKENS = 4
"""Content tokens of the recent history whose new items are brought, the most frequent ones."""

RECENT = 20

AT_ONCE = 4_096
"""Items looked at in one step, where the first that may be shown are looked for."""


def most_popular(tables: ItemTables, k: int, may: Bool | Grown | None = None) -> I32:
    """The k available items, or of those that may, with most recent interactions, best first; fewer where fewer are."""
    may = tables.available if may is None else may
    found: I32 = np.zeros(0, np.int32)
    for start in range(0, len(tables.by_popularity), AT_ONCE):
        rows = np.asarray(tables.by_popularity[start : start + AT_ONCE])
        found = np.concatenate([found, rows[may[rows]]])
        if len(found) >= k:
            break
    return found[:k]


class FreshItems:
    """The available items of every content token that were first taken last."""

    def __init__(self, tables: ItemTables) -> None:
        self._tokens = tables.content_table
        newest = np.argsort(tables.age, kind="stable")
        # An item that nobody ever took has no age; the tower, which knows its content, brings it if it belongs.
        taken = np.asarray(tables.available) & (np.asarray(tables.popularity)[:, 0] > 0)
        newest = newest[taken[newest]]
        tokens = np.asarray(tables.content)[newest]
        place, column = np.nonzero(tokens != NO_TOKEN)
        token = tokens[place, column]
        order = np.argsort(token, kind="stable")
        token, item = token[order], newest[place][order].astype(np.int32)
        rank = np.arange(len(token)) - np.searchsorted(token, token)
        kept = rank < FRESH_PER_TOKEN
        self._items = item[kept]
        self._offsets = np.searchsorted(token[kept], np.arange(tables.vocabulary + 1))

    def over(self, tables: ItemTables) -> FreshItems:
        """The same new items, for histories that name rows of these tables."""
        other: FreshItems = copy.copy(self)
        other._tokens = tables.content_table
        return other

    def best(self, histories: I32) -> I32:
        """New items of each user's favourite tokens: [B, LIKED_TOKENS * FRESH_PER_TOKEN] int32, some twice, padded."""
        found = padded(len(histories), LIKED_TOKENS * FRESH_PER_TOKEN)
        asked = *self._tokens, len(self._offsets) - 1, plain(histories[:, -RECENT:])
        sources.favourites(*asked, LIKED_TOKENS, self._items, self._offsets, FRESH_PER_TOKEN, found)
        return found


def repeats(histories: I32, available: np.ndarray, k: int) -> I32:
    """The k items that each user came to last, newest first, each once: [B, k] int32, padded on the right."""
    found = np.full((len(histories), k), PAD, np.int32)
    for row, history in enumerate(histories):
        past = history[history != PAD][::-1]
        items, first = np.unique(past, return_index=True)
        latest = items[np.argsort(first)]
        latest = latest[available[latest]][:k]
        found[row, : len(latest)] = latest
    return found
