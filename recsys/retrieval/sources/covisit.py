"""The candidate source `covisit` (co-visitation): items that users take soon after those in this user's history."""

from __future__ import annotations

from recsys.filters.allowed_items import masks
from recsys.model.neighbour_tables import VOTE_DECAY
from recsys.retrieval.source import CandidateSource, Finder, RetrievalBatch
from recsys.types import I32, Source


class CovisitedItems(Finder):
    """Counts the votes of the newest items of a history."""

    def find(self, batch: RetrievalBatch, k: int) -> I32:
        """The items with the most votes."""
        return batch.tables.covisit.best(batch.past, k, VOTE_DECAY, masks(batch.allowed))


SOURCE = CandidateSource("covisit", Source.COVISIT, 64, CovisitedItems)
