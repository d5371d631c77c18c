"""Search index of trained items, extended by items added since (PUT /items): it searches both and merges by score.

A search returns the items whose embeddings have the largest inner products with a user's embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch

from recsys.filters.allowed_items import Allowed
from recsys.fresh_items.extended_column import ExtendedColumn
from recsys.fresh_items.extended_tables import ExtendedTables
from recsys.kernels.quantization import ROUNDING
from recsys.retrieval.index import Index
from recsys.types import F32, I32, PAD


class ExtendedIndex:
    """The index of a generation and its new items, which are scored exactly; results are merged by score."""

    def __init__(self, index: Index, tables: ExtendedTables) -> None:
        changes = tables.changes
        shown = changes.available.tail
        self._index = index.over(changes.available.base)
        self._rows = changes.rows[shown]
        self._of_put = shown
        self._items = torch.from_numpy(cast(ExtendedColumn, tables.embeddings).tail[shown])

    @property
    def count(self) -> int:
        """The number of new items that are available."""
        return len(self._rows)

    @torch.inference_mode()
    def search(self, users: F32, k: int, allowed: Sequence[Allowed | None] | None = None) -> I32:
        """The k best rows of both for users [B, d], best first: [B, k] int32, PAD past the end.

        allowed: as in `Index.search`.
        """
        rows, scores = self._index.scored(users, k, allowed)
        if not len(self._rows):
            return rows
        fresh, of_fresh = self._scored(users, allowed)
        both = np.concatenate([rows, fresh], axis=1)
        merged = torch.cat([torch.from_numpy(scores), of_fresh], dim=1)
        best = torch.topk(merged, min(k, merged.shape[1]), dim=1).indices.numpy()
        return np.take_along_axis(both, best, axis=1)

    @torch.inference_mode()
    def count_above(self, users: F32, scores: F32) -> I32:
        """How many rows of both score higher than `scores` [B] for users [B, d]: [B] int32."""
        fresh = torch.from_numpy(users) @ self._items.T > torch.from_numpy(scores)[:, None] + ROUNDING
        return self._index.count_above(users, scores) + fresh.sum(1).numpy().astype(np.int32)

    @torch.inference_mode()
    def fresh(self, users: F32, k: int, allowed: Sequence[Allowed | None] | None = None) -> I32:
        """The k best new rows for users [B, d], best first: [B, at most k] int32, padded."""
        rows, scores = self._scored(users, allowed)
        best = torch.topk(scores, min(k, len(self._rows)), dim=1).indices.numpy()
        return np.take_along_axis(rows, best, axis=1)

    def _scored(self, users: F32, allowed: Sequence[Allowed | None] | None) -> tuple[I32, torch.Tensor]:
        """The new rows and their scores for users [B, d]: both [B, m], PAD and -inf where not allowed."""
        scores = torch.from_numpy(users) @ self._items.T
        rows = np.broadcast_to(self._rows, scores.shape)
        if allowed is not None:
            rows = rows.copy()
            for query, of in enumerate(allowed):
                if of is not None:
                    gone = ~of.put[self._of_put]
                    rows[query, gone], scores[query, torch.from_numpy(gone)] = PAD, -torch.inf
        return rows, scores
