"""The candidate source `ease`: items that EASE, a linear item-to-item model, predicts from the user's history."""

from __future__ import annotations

from recsys.filters.allowed_items import masks
from recsys.generation.item_tables import ItemTables
from recsys.kernels.top_k import U64, rows_of
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
        return rows_of(self.keys(batch, k))

    def keys(self, batch: RetrievalBatch, k: int) -> U64:
        """Keys by votes."""
        return batch.past_tables.ease.best_keys(batch.past_places, k, VOTE_DECAY, masks(batch.allowed))


SOURCE = CandidateSource("ease", Source.EASE, 32, EaseItems)
