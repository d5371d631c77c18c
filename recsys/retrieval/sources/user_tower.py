"""The candidate source `tower`: the items whose embeddings have the largest inner products with the user's embedding.

The user tower, a trained model, computes the user's embedding from the history.
"""

from __future__ import annotations

from recsys.retrieval.source import CandidateSource, Finder, RetrievalBatch
from recsys.types import I32, Source


class TowerItems(Finder):
    """Searches the index."""

    def find(self, batch: RetrievalBatch, k: int) -> I32:
        """The items with the largest inner products."""
        return batch.index.search(batch.users, k, batch.allowed)


SOURCE = CandidateSource("tower", Source.TOWER, None, TowerItems)
