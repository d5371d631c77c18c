"""Item-to-item models as tables: the best neighbours of each item, which the items of a history vote for.

Three tables are the same to the code here: what is done soon after an item (co-visitation), what is done right after
it (succession), and what a linear model makes of both (EASE). Knows no torch and no store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from recsys.kernels import keys, sources
from recsys.kernels.compiled import plain
from recsys.types import F32, I32, PAD, Bool, padded

RECENT = 48
"""History items that vote, at most. At a decay of .97 a vote from further back weighs under .24 of the newest."""

VOTE_DECAY = 0.9
"""The decay of the votes by which sources choose candidates."""


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

    def best(self, histories: I32, k: int, decay: float, may: Sequence[Bool | None] | None = None) -> I32:
        """The k items that the newest of each history [B, H] vote for most: [B, k] int32, padded on the right.

        may: for each history, where only some items are wanted, which [n].
        """
        found = padded(len(histories), k)
        voters = plain(histories[:, : -RECENT - 1 : -1])
        of = np.empty((len(voters), voters.shape[1] * self.width), np.uint64)
        counts, vote = np.empty(len(voters), np.int64), np.empty(1, np.float32)
        sources.tally(self.rows, self.weights, voters, powers((decay,))[0], vote, vote.view(np.uint32), of, counts)
        for query, count in enumerate(counts.tolist()):
            given = of[query, :count]
            if may is not None and (mask := may[query]) is not None:
                given = given[mask[keys.places(given)]]
            rows = keys.first(given, k)
            found[query, : len(rows)] = rows
        return found


@cache
def powers(decays: tuple[float, ...]) -> F32:
    """The weight of each step back for every decay: [D, RECENT]."""
    return np.array([[decay**step for step in range(RECENT)] for decay in decays], np.float32)
