"""The candidate source `tower`: the items whose embeddings have the largest inner products with the user's embedding.

The user tower, a trained model, computes the user's embedding from the history.
"""

from __future__ import annotations

from recsys.kernels.top_k import U64, keys_of
from recsys.retrieval.source import CandidateSource, Finder, RetrievalBatch
from recsys.types import I32, Source


class TowerItems(Finder):
    """Searches the index."""

    def find(self, batch: RetrievalBatch, k: int) -> I32:
        """The items with the largest inner products."""
        return batch.index.search(batch.users, k, batch.allowed)

    def keys(self, batch: RetrievalBatch, k: int) -> U64:
        """Keys by inner products."""
        rows, scores = batch.index.scored(batch.users, k, batch.allowed)
        return keys_of(scores, rows)


SOURCE = CandidateSource("tower", Source.TOWER, None, TowerItems)
