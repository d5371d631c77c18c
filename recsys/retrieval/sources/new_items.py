"""The candidate source `fresh`: new items of the categories that a user likes, and items added after training.

Items are added after training through PUT /items. Of these the source takes those whose embeddings fit the user best.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from recsys.filters.allowed_items import only
from recsys.generation.item_tables import ItemTables
from recsys.kernels.candidate_lists import items_of_liked_tokens
from recsys.kernels.jit import contiguous
from recsys.model.feature_spec import NO_TOKEN
from recsys.retrieval.source import CandidateSource, Finder, RetrievalBatch
from recsys.types import I32, Source, padded

if TYPE_CHECKING:
    from recsys.fresh_items.extended_index import ExtendedIndex

PER_TOKEN = 8
"""New items of each liked token."""

LIKED_TOKENS = 4
"""Content tokens of the recent history whose new items are candidates: the most frequent ones."""

RECENT = 20
"""Newest items of the history whose tokens are counted."""

PUT_SHARE = 32
"""Items put since, at most. The tower's share falls by as many: in the tower's order, items without interactions rank
too low among a whole catalogue."""


class FreshItems(Finder):
    """The newest available items of every category or other content token. Age counts from the first interaction."""

    def __init__(self, tables: ItemTables) -> None:
        newest = np.argsort(tables.age, kind="stable")
        # An item without interactions has no age. The tower finds the item by its content.
        taken = np.asarray(tables.available) & (np.asarray(tables.popularity)[:, 0] > 0)
        newest = newest[taken[newest]]
        tokens = np.asarray(tables.content)[newest]
        place, column = np.nonzero(tokens != NO_TOKEN)
        token = tokens[place, column]
        order = np.argsort(token, kind="stable")
        token, item = token[order], newest[place][order].astype(np.int32)
        kept = np.arange(len(token)) - np.searchsorted(token, token) < PER_TOKEN
        self._items = item[kept]
        self._offsets = np.searchsorted(token[kept], np.arange(tables.vocabulary + 1))
        self._put: ExtendedIndex | None = None

    def over(self, tables: ItemTables, index: ExtendedIndex) -> FreshItems:
        """The same new items, and the items added since the training."""
        other: FreshItems = copy.copy(self)
        other._put, other.put_share = index, min(PUT_SHARE, index.count)
        return other

    def find(self, batch: RetrievalBatch, k: int) -> I32:
        """New items of the most frequent tokens, then the items added since with the largest inner products."""
        items = padded(len(batch.past), LIKED_TOKENS * PER_TOKEN)
        recent = contiguous(batch.past[:, -RECENT:])
        content, vocabulary = batch.tables.content_table, len(self._offsets) - 1
        items_of_liked_tokens(content, vocabulary, recent, LIKED_TOKENS, self._items, self._offsets, items)
        items = only(items, batch.allowed)
        if self._put is None:
            return items
        return np.concatenate([items, self._put.fresh(batch.users, PUT_SHARE, batch.allowed)], axis=1)


SOURCE = CandidateSource("fresh", Source.FRESH, 32, FreshItems)
