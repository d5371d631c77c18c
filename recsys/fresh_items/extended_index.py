"""Search index of trained items, extended by items added since (PUT /items): it searches both and merges by score.

A search returns the items whose embeddings have the largest inner products with a user's embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from recsys.filters.allowed_items import Allowed
from recsys.fresh_items.extended_column import ExtendedColumn, table
from recsys.fresh_items.extended_tables import ExtendedTables
from recsys.kernels.candidate_lists import score
from recsys.kernels.jit import contiguous
from recsys.kernels.top_k import NO_KEY, U64, keys_of, least, rows_of
from recsys.retrieval.index import Index
from recsys.types import F32, I32


class ExtendedIndex:
    """The index of a generation and its new items, which are scored exactly; results are merged by score."""

    def __init__(self, index: Index, tables: ExtendedTables) -> None:
        changes = tables.changes
        shown = changes.available.tail
        self._trained = index.over(changes.available.base)
        self._rows = changes.rows[shown]
        self._of_put = shown
        self._items = table(cast(ExtendedColumn, tables.embeddings).tail[shown])

    @property
    def count(self) -> int:
        """The number of new items that are available."""
        return len(self._rows)

    def search(self, users: F32, k: int, allowed: Sequence[Allowed | None] | None = None) -> I32:
        """The k best rows of both for users [B, d], best first: [B, k] int32, PAD past the end.

        allowed: as in `Index.search`.
        """
        rows, scores = self._trained.scored(users, k, allowed)
        if not len(self._rows):
            return rows
        keys = np.concatenate([keys_of(scores, rows), self._keys(users, allowed)], axis=1)
        return rows_of(least(keys, k))

    def count_above(self, users: F32, scores: F32) -> I32:
        """How many rows of both score higher than `scores` [B] for users [B, d]: [B] int32."""
        above: I32 = (self._scores(users) > scores[:, None]).sum(1, dtype=np.int32)
        return self._trained.count_above(users, scores) + above

    def fresh(self, users: F32, k: int, allowed: Sequence[Allowed | None] | None = None) -> I32:
        """The k best new rows for users [B, d], best first: [B, at most k] int32, PAD past the end."""
        return rows_of(least(self._keys(users, allowed), k))

    def _scores(self, users: F32) -> F32:
        """The inner products of users [B, d] with the new items: [B, m]."""
        scores = np.empty((len(users), len(self._rows)), np.float32)
        places = np.broadcast_to(np.arange(len(self._rows), dtype=np.int32), scores.shape)
        score(contiguous(users), self._items, contiguous(places), scores)
        return scores

    def _keys(self, users: F32, allowed: Sequence[Allowed | None] | None) -> U64:
        """The sort keys of the new rows for users [B, d]: [B, m], NO_KEY where not allowed."""
        scores = self._scores(users)
        keys = keys_of(scores, np.broadcast_to(self._rows, scores.shape))
        for query, of in enumerate(allowed or ()):
            if of is not None:
                keys[query, ~of.put[self._of_put]] = NO_KEY
        return keys
