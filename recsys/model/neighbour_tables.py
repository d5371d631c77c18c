"""Neighbour tables: the items most related to each item. Retrieval looks up those of a user's past items as candidates.

Three models give such tables: interactions soon after an item (co-visitation), interactions right after it
(succession), and the linear model EASE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from recsys.files.mapped_array import mapped_array
from recsys.kernels import candidate_lists, top_k
from recsys.kernels.jit import contiguous
from recsys.types import F32, I32, PAD, Bool, padded

RECENT = 48
"""The newest history items, which vote. At a decay of .97 an older vote weighs less than .24 of the newest."""

VOTE_DECAY = 0.9
"""The decay of votes in candidate sources."""


@dataclass(frozen=True)
class Neighbours:
    """rows: [n, M] int32 item rows, best first, padded with PAD. weights: [n, M] float32, descending."""

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
        """Neighbours of an item, at most; 0 without the model."""
        return int(self.rows.shape[1])

    def save(self, folder: Path, name: str) -> None:
        """Write two npy files."""
        np.save(folder / f"{name}.rows.npy", self.rows)
        np.save(folder / f"{name}.weights.npy", self.weights)

    @classmethod
    def load(cls, folder: Path, name: str) -> Neighbours:
        """Map the files that `save` wrote."""
        return cls(mapped_array(folder, f"{name}.rows"), mapped_array(folder, f"{name}.weights"))

    def best(self, histories: I32, k: int, decay: float, may: Sequence[Bool | None] | None = None) -> I32:
        """The k items with the most votes of each history's newest items: [B, k] int32, padded on the right.

        may: for each history the mask of allowed items [n], None for all.
        """
        found = padded(len(histories), k)
        voters = contiguous(histories[:, : -RECENT - 1 : -1])
        of = np.empty((len(voters), voters.shape[1] * self.width), np.uint64)
        counts = np.empty(len(voters), np.int64)
        candidate_lists.tally(self.rows, self.weights, voters, powers((decay,))[0], of, counts)
        for query, count in enumerate(counts.tolist()):
            given = of[query, :count]
            if may is not None and (mask := may[query]) is not None:
                given = given[mask[top_k.places(given)]]
            rows = top_k.places(top_k.least(given, k))
            found[query, : len(rows)] = rows
        return found


@cache
def powers(decays: tuple[float, ...]) -> F32:
    """The weight of a vote by decay and steps back: [D, RECENT]."""
    return np.array([[decay**step for step in range(RECENT)] for decay in decays], np.float32)
