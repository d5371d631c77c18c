"""The candidate source `ease`: items that EASE, a linear item-to-item model, predicts from the user's history."""

from __future__ import annotations

from recsys.filters.allowed_items import masks
from recsys.generation.item_tables import ItemTables
from recsys.model.neighbour_tables import VOTE_DECAY
from recsys.retrieval.source import CandidateSource, Finder, RetrievalBatch
from recsys.types import I32, Source


class EaseItems(Finder):
    """Counts the votes of the newest items of a history."""

    @classmethod
    def serves(cls, tables: ItemTables, exclude_seen: bool) -> bool:
        """Whether training built the model: for a large catalogue training builds none."""
        return tables.ease.width > 0

    def find(self, batch: RetrievalBatch, k: int) -> I32:
        """The items with the most votes."""
        return batch.tables.ease.best(batch.past, k, VOTE_DECAY, masks(batch.allowed))


SOURCE = CandidateSource("ease", Source.EASE, 32, EaseItems)
