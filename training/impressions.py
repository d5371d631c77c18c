"""Impressions that `flows drain` wrote, as arrays for the ranker: features as they were, labels as they turned out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from recsys.errors import DatasetError
from recsys.features import FEATURES
from recsys.types import F32, I64, Bool

PREFIX = "feature."


@dataclass(frozen=True, slots=True)
class ShownItems:
    """Items as they were shown, those of a slate together.

    features: [n, F] float32. labels: [n], whether the user took the item. slates: [n], the number of each one's slate.
    """

    features: F32
    labels: Bool
    slates: I64

    def __len__(self) -> int:
        return len(self.labels)


def read(files: Iterable[Path]) -> ShownItems:
    """The items of some files; DatasetError names one whose features are not this code's."""
    features, labels, slates = [np.zeros((0, len(FEATURES)), np.float32)], [np.zeros(0, bool)], [np.zeros(0, np.int64)]
    wanted, known = [PREFIX + name for name in FEATURES], 0
    for file in files:
        there = [name for name in pq.read_schema(file).names if name.startswith(PREFIX)]
        if there != wanted:
            differs = sorted(set(there) ^ set(wanted)) or ["their order"]
            raise DatasetError(f"{file} has other features than this code's ranker: {', '.join(differs)[:200]}.")
        table = pq.read_table(file, columns=["impression", "label", *wanted])
        _, numbers = np.unique(table["impression"].to_numpy(), return_inverse=True)
        features.append(np.stack([table[name].to_numpy() for name in wanted], axis=1))
        labels.append(table["label"].to_numpy())
        slates.append(numbers + known)
        known += int(numbers.max(initial=-1)) + 1
    return ShownItems(np.concatenate(features), np.concatenate(labels), np.concatenate(slates))
