"""The candidate source `repeat`: the items that the user took last, for shops where items are bought again.

It has no items where the dataset excludes items that a user has seen.
"""

from __future__ import annotations

import numpy as np

from recsys.filters.allowed_items import only
from recsys.generation.item_tables import ItemTables
from recsys.retrieval.source import CandidateSource, Finder, RetrievalBatch
from recsys.types import I32, PAD, Source, padded


class RepeatedItems(Finder):
    """Reads the history."""

    @classmethod
    def serves(cls, tables: ItemTables, exclude_seen: bool) -> bool:
        """Not where every seen item is excluded."""
        return not exclude_seen

    def find(self, batch: RetrievalBatch, k: int) -> I32:
        """The available items of the history, newest first, each once."""
        histories, available = only(batch.past, batch.allowed), batch.tables.available
        found = padded(len(histories), k)
        for row, history in enumerate(histories):
            past = history[history != PAD][::-1]
            items, first = np.unique(past, return_index=True)
            latest = items[np.argsort(first)]
            latest = latest[available[latest]][:k]
            found[row, : len(latest)] = latest
        return found


SOURCE = CandidateSource("repeat", Source.REPEAT, 32, RepeatedItems)
