"""Item-to-item models as tables: the best neighbours of each item, which the items of a history vote for.

Three tables are the same to the code here: what is done soon after an item (co-visitation), what is done right after
it (succession), and what a linear model makes of both (EASE). Knows no torch and no store.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recsys.types import F32, I32, PAD

RECENT = 48
"""History items that vote, at most. At a decay of .97 a vote from further back weighs under .24 of the newest."""

DENSE = 1 << 16
"""Catalogues up to this size add votes up in an array of all items; beyond, in a sorted list of those named."""


@dataclass(frozen=True)
class Neighbours:
    """rows: [n, M] int32 item rows, best first, PAD where there is none. weights: [n, M] float32, falling."""

    rows: I32
    weights: F32

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def none(cls, n: int) -> Neighbours:
        """A table without neighbours."""
        return cls(np.full((n, 0), PAD, np.int32), np.zeros((n, 0), np.float32))

    @property
    def width(self) -> int:
        """Neighbours an item has, at most; 0 where the model was not built."""
        return int(self.rows.shape[1])

    def save(self, folder: Path, name: str) -> None:
        """Write two npy files."""
        np.save(folder / f"{name}.rows.npy", self.rows)
        np.save(folder / f"{name}.weights.npy", self.weights)

    def best(self, histories: I32, k: int, decay: float) -> I32:
        """The k items that the newest of each history [B, H] vote for most: [B, k] int32, padded on the right."""
        found = np.full((len(histories), k), PAD, np.int32)
        for row, history in enumerate(histories):
            items, votes = self._all_votes(history, decay)
            order = np.lexsort((items, -votes))[:k] if len(items) <= 4 * k else _top(items, votes, k)
            found[row, : len(order)] = items[order]
        return found

    def votes(self, history: I32, candidates: I32, decays: tuple[float, ...]) -> F32:
        """What the newest of one history [H] give each of K distinct candidates, by decay: [len(decays), K] float32."""
        scores = np.zeros((len(decays), len(candidates)), np.float32)
        steps, voters = _voters(history)
        if not len(voters) or not self.width:
            return scores
        place = np.zeros(len(self) + 1, np.int16)  # the last place is PAD's
        place[candidates] = np.arange(1, len(candidates) + 1)
        place[-1] = 0
        hit = place[self.rows[voters]]
        voter, column = np.nonzero(hit)
        named, weight = hit[voter, column] - 1, self.weights[voters[voter], column]
        for index, decay in enumerate(decays):
            scores[index] = np.bincount(named, weight * decay ** steps[voter], minlength=len(candidates))
        return scores

    def _all_votes(self, history: I32, decay: float) -> tuple[np.ndarray, np.ndarray]:
        """Every item voted for, ascending, and its votes."""
        steps, voters = _voters(history)
        rows = self.rows[voters]
        weights = (self.weights[voters] * (decay**steps)[:, None])[rows != PAD]
        rows = rows[rows != PAD]
        if len(self) <= DENSE:
            votes = np.bincount(rows, weights, minlength=len(self)).astype(np.float32)
            items = np.flatnonzero(votes)
            return items, votes[items]
        items, inverse = np.unique(rows, return_inverse=True)
        return items, np.bincount(inverse, weights, minlength=len(items)).astype(np.float32)


def _voters(history: I32) -> tuple[F32, I32]:
    """Steps back from the newest, and the item, of each that votes."""
    recent = history[-RECENT:][::-1]
    real = np.flatnonzero(recent != PAD)
    return real.astype(np.float32), recent[real]


def _top(items: np.ndarray, votes: np.ndarray, k: int) -> np.ndarray:
    """Places of the k most votes, the lower row first among equals, without sorting the rest."""
    least = votes[np.argpartition(-votes, k - 1)[k - 1]]
    kept = np.flatnonzero(votes >= least)
    return kept[np.lexsort((items[kept], -votes[kept]))][:k]
