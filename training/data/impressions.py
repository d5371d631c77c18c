"""Read impressions (recommended items that a server showed, and whether the user took them) from Parquet files, as
training examples for the ranker.

The command `python -m flows drain` writes these files. An example is the ranker's features of one shown item, and a
label.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from recsys.errors import DatasetError
from recsys.model.features import FEATURES
from recsys.types import F32, I64, Bool
from training.data.locations import Location, reaching

FOLDER = "impressions"
"""The folder for `training.data.locations.exports`."""

PREFIX = "feature."
COLUMNS = [PREFIX + name for name in FEATURES]


@dataclass(frozen=True, slots=True)
class ShownItems:
    """Items of slates (ordered lists of recommended items); the items of a slate are contiguous.

    features: [n, F] float32. labels: [n], whether the user took the item. slates: [n], the number of the item's slate.
    """

    features: F32
    labels: Bool
    slates: I64

    def __len__(self) -> int:
        return len(self.labels)


def read(files: Iterable[str | Path]) -> ShownItems:
    """The items of some files, each slate once. DatasetError names a file with other features than this code's.

    files: paths or URLs. A slate may be in two files if `flows drain` was killed and a user was deleted before its next
    run. Slates of experiments that no ranker ordered have no features and are left out.
    """
    nothing = pd.DataFrame(columns=["impression", "item_id", "label", *COLUMNS])
    shown = pd.concat([nothing, *map(_table, sorted(map(str, files)))]).drop_duplicates(["impression", "item_id"])
    shown = shown[shown[COLUMNS].notna().any(axis=1)]
    features, labels = shown[COLUMNS].to_numpy(np.float32), shown["label"].to_numpy(bool)
    return ShownItems(features, labels, pd.factorize(shown["impression"])[0].astype(np.int64))


def _table(name: str) -> pd.DataFrame:
    file = Location.of(name)
    try:
        with reaching(file, "read"):
            table = pd.read_parquet(file.path, filesystem=file.filesystem(), partitioning=None)
    except pa.ArrowException as error:
        raise DatasetError(f"{file} can't be read as Parquet: {str(error)[:200]}.") from error
    found = [name for name in map(str, table) if name.startswith(PREFIX)]
    if found != COLUMNS:
        differs = ", ".join(sorted(set(found) ^ set(COLUMNS))) or "their order"
        raise DatasetError(
            f"{file} has other features than this code's ranker: {differs[:200]}. Leave out files of earlier versions."
        )
    return table
