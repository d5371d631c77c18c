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
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.errors import DatasetError
from recsys.model.features import FEATURES
from recsys.types import F32, I64, Bool
from training.data.locations import Location, reaching

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
    run.
    """
    features, labels, slates = [np.zeros((0, len(FEATURES)), np.float32)], [np.zeros(0, bool)], [np.zeros(0, np.int64)]
    numbers: dict[str, int] = {}
    for file in map(Location.of, sorted(map(str, files))):
        table = _table(file)
        names = table["impression"].to_pylist()
        new = np.array([name not in numbers for name in names], bool)
        for name in names:
            numbers.setdefault(name, len(numbers))
        features.append(np.stack([table[name].to_numpy() for name in COLUMNS], axis=1)[new])
        labels.append(table["label"].to_numpy()[new])
        slates.append(np.array([numbers[name] for name in names], np.int64)[new])
    return ShownItems(np.concatenate(features), np.concatenate(labels), np.concatenate(slates))


def _table(file: Location) -> pa.Table:
    """The columns of a file that the ranker's training reads."""
    try:
        with reaching(file, "read"), file.filesystem().open_input_file(file.path) as source:
            parquet = pq.ParquetFile(source)
            found = [name for name in parquet.schema_arrow.names if name.startswith(PREFIX)]
            if found == COLUMNS:
                return parquet.read(columns=["impression", "label", *COLUMNS])
    except pa.ArrowException as error:
        raise DatasetError(f"{file} can't be read as Parquet: {str(error)[:200]}.") from error
    differs = ", ".join(sorted(set(found) ^ set(COLUMNS))) or "their order"
    raise DatasetError(
        f"{file} has other features than this code's ranker: {differs[:200]}. Leave out files of earlier versions."
    )
