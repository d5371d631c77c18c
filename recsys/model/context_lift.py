"""What is taken more in some context than at large: of each item, for the hour, the weekday and the dataset's columns.

One way from a context to columns of the table, for training that counts and for the features that look up.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recsys.kernels import columns
from recsys.kernels.compiled import plain
from recsys.model import time_features
from recsys.types import F32, I32, I64, U8

VALUES = 16
"""Values of a context column with a place of their own, the most frequent ones; the others share one more."""


@dataclass(frozen=True)
class ContextLift:
    """Log of an item's share of events in a context over that of all items, smoothed; 0 where nothing is known.

    table: [n, V] float32. starts: [G + 1] int32, group g is columns starts[g] to starts[g + 1]: quarters of the day,
    weekday and weekend, then a group for each context column that is counted.
    """

    table: F32
    starts: I32

    def __len__(self) -> int:
        return len(self.table)

    def save(self, folder: Path, name: str) -> None:
        """Write two npy files."""
        np.save(folder / f"{name}.table.npy", self.table)
        np.save(folder / f"{name}.starts.npy", self.starts)


def starts_of(sizes: list[int]) -> I32:
    """Where the groups begin, for context columns of so many values each."""
    widths = [time_features.DAY_PARTS, 2, *(min(size, VALUES + 1) for size in sizes)]
    return np.cumsum([0, *widths], dtype=np.int32)


def places(context: U8, starts: I32) -> I64:
    """The table's column for each group of contexts [..., CLOCK + CONTEXTS]: [..., G] int64, -1 where unknown."""
    found = np.empty((*context.shape[:-1], len(starts) - 1), np.int64)
    rows = plain(context.reshape(-1, context.shape[-1])), starts, time_features.HOURS_OF_A_PART, time_features.SATURDAY
    columns.groups(*rows, found.reshape(-1, found.shape[-1]))
    return found
