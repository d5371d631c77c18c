"""The candidate source `repeat`: the items that the user took last, for shops where items are bought again.

It has no items where the dataset excludes items that a user has seen.
"""

from __future__ import annotations

import numpy as np

from recsys.filters.allowed_items import only
from recsys.generation.item_tables import ItemTables
from recsys.kernels.top_k import NO_KEY, U64, placed_keys, rows_of
from recsys.retrieval.source import CandidateSource, Finder, RetrievalBatch
from recsys.types import I32, PAD, Source


class RepeatedItems(Finder):
    """Reads the history."""

    @classmethod
    def serves(cls, tables: ItemTables, exclude_seen: bool) -> bool:
        """Not where every seen item is excluded."""
        return not exclude_seen

    def find(self, batch: RetrievalBatch, k: int) -> I32:
        """The available items of the history, newest first, each once."""
        return rows_of(self.keys(batch, k))

    def keys(self, batch: RetrievalBatch, k: int) -> U64:
        """Keys by places in the history from its end."""
        histories, available = only(batch.past, batch.allowed), batch.tables.available
        found = np.full((len(histories), k), NO_KEY)
        for row, history in enumerate(histories):
            items, first = np.unique(history[::-1], return_index=True)
            first = np.sort(first[items != PAD])
            latest = history[::-1][first]
            shown = available[latest]
            keys = placed_keys(first[shown], latest[shown])[:k]
            found[row, : len(keys)] = keys
        return found


SOURCE = CandidateSource("repeat", Source.REPEAT, 32, RepeatedItems)
