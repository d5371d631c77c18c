"""Item-to-item co-visitation: what follows what, read from a pruned neighbour table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.tables import ItemTables
from recsys.types import F32, I32, I64, PAD

RECENT = 20
"""History items that vote. At the decay of .9 a vote from further back weighs under .13 of the newest."""

DECAY = 0.9
"""Weight of a history item's vote for each step back."""


@dataclass(frozen=True, slots=True)
class CovisitVotes:
    """Summed votes for B users as a sorted sparse vector over (user, item).

    keys: [V] int64 ascending, user * n_items + item. scores: [V] float32.
    """

    keys: I64
    scores: F32
    n_items: int

    def score(self, items: I32) -> F32:
        """Votes for `items` [B, K] (PAD gives 0): [B, K] float32."""
        if not len(self.keys):
            return np.zeros(items.shape, np.float32)
        wanted = np.arange(len(items), dtype=np.int64)[:, None] * self.n_items + items
        at = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.where((self.keys[at] == wanted) & (items != PAD), self.scores[at], np.float32(0))

    def top(self, batch: int, k: int) -> I32:
        """The k items with most votes of each user: [B, k] int32, padded on the right."""
        best = np.full((batch, k), PAD, np.int32)
        users, items = np.divmod(self.keys, self.n_items)
        order = np.lexsort((-self.scores, users))
        users = users[order]
        rank = np.arange(len(users)) - np.searchsorted(users, users)
        keep = rank < k
        best[users[keep], rank[keep]] = items[order][keep]
        return best


def votes(tables: ItemTables, histories: I32) -> CovisitVotes:
    """Let the newest items of each history [B, H] vote for their neighbours."""
    recent = histories[:, -RECENT:]
    decay = DECAY ** np.arange(recent.shape[1] - 1, -1, -1, dtype=np.float32)
    users, positions = np.nonzero(recent != PAD)
    voters = recent[users, positions]
    neighbours = tables.neighbours[voters]
    weights = tables.neighbour_weights[voters] * decay[positions][:, None]
    keys = users[:, None] * np.int64(len(tables)) + neighbours
    real = neighbours != PAD
    unique, inverse = np.unique(keys[real], return_inverse=True)
    scores = np.bincount(inverse, weights[real], minlength=len(unique)).astype(np.float32)
    return CovisitVotes(unique.astype(np.int64), scores, len(tables))
