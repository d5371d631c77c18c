"""Context lift: how much more popular each item is than usual at a time of day or week, or in a context.

The dataset names its context columns, such as the device. Training counts the table of lifts, and the ranker's features
read it, both by the columns that `table_columns` gives for a context.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recsys.files.mapped_array import mapped_array
from recsys.kernels import time_features
from recsys.kernels.jit import contiguous
from recsys.kernels.query_features import lift_columns
from recsys.types import F32, I32, I64, U8

VALUES = 16
"""The most frequent values of a context column, which have a table column each. The others share one column."""


@dataclass(frozen=True)
class ContextLift:
    """Log ratio of an item's share of the events in a context to its share of all events, smoothed; 0 if unknown.

    table: [n, V] float32. starts: [G + 1] int32; group g has columns starts[g] to starts[g + 1]. The groups: quarters
    of the day, weekday and weekend, then each context column.
    """

    table: F32
    starts: I32

    def __len__(self) -> int:
        return len(self.table)

    def save(self, folder: Path, name: str) -> None:
        """Write two npy files."""
        np.save(folder / f"{name}.table.npy", self.table)
        np.save(folder / f"{name}.starts.npy", self.starts)

    @classmethod
    def load(cls, folder: Path, name: str) -> ContextLift:
        """Map the files that `save` wrote."""
        return cls(mapped_array(folder, f"{name}.table"), mapped_array(folder, f"{name}.starts"))


def group_starts(sizes: list[int]) -> I32:
    """The first column of each group; sizes: the number of values of each context column."""
    widths = [time_features.DAY_PARTS, 2, *(min(size, VALUES + 1) for size in sizes)]
    return np.cumsum([0, *widths], dtype=np.int32)


def table_columns(context: U8, starts: I32) -> I64:
    """The table's column in each group for contexts [..., CLOCK + CONTEXTS]: [..., G] int64, -1 if unknown."""
    found = np.empty((*context.shape[:-1], len(starts) - 1), np.int64)
    rows = contiguous(context.reshape(-1, context.shape[-1]))
    lift_columns(rows, starts, found.reshape(-1, found.shape[-1]))
    return found
