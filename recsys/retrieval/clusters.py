"""Clusters of item embeddings: who looks through those nearest to a user alone finds nearly all of the best.

An inverted file, as Jégou, Douze and Schmid have it ("Product Quantization for Nearest Neighbor Search", PAMI 2011,
section IV) and faiss's IVFFlat is one. How near is near enough, and whether it pays, is measured on real users before a
generation has any (`training.tables.search_choice`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recsys.types import F32, I32, I64

PREFIX = "clusters."
"""Of the parts of a generation that has some."""


@dataclass(frozen=True)
class Clusters:
    """Every item is in one.

    centres: [C, d] float32. rows: [n] int32, all items, those of a cluster together. starts: [C + 1] int64, where each
    cluster begins among the rows. probes: how many clusters are looked through for a user.
    """

    centres: F32
    rows: I32
    starts: I64
    probes: int

    def __len__(self) -> int:
        return len(self.centres)

    @staticmethod
    def is_part(name: str) -> bool:
        """Whether a part of a generation is one of its clusters'."""
        return name.startswith(PREFIX)

    def save(self, folder: Path) -> None:
        """Write an npy file for each."""
        for name, array in self._arrays().items():
            np.save(folder / f"{PREFIX}{name}.npy", array)

    @classmethod
    def load(cls, folder: Path) -> Clusters:
        """Inverse of `save`, mapped; nothing is unpickled."""

        def mapped(name: str) -> np.ndarray:
            return np.asarray(np.load(folder / f"{PREFIX}{name}.npy", mmap_mode="r", allow_pickle=False))

        return cls(mapped("centres"), mapped("rows"), mapped("starts"), int(mapped("probes")))

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"centres": self.centres, "rows": self.rows, "starts": self.starts, "probes": np.array(self.probes)}
