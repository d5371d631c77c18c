"""What two generations are compared by, as values: a dataset in figures, and the live generation's manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from recsys.generation import FORMAT, Manifest
from training.dataset import Dataset
from training.evaluation import SERVED, Row
from training.glimpse import Scores
from training.log import Log

AVAILABLE = "available"


@dataclass(frozen=True, slots=True)
class DataProfile:
    """A dataset in figures.

    items: those that only the log names too. described: rows of the items table. filled: share of all items that have a
    value, by column of the table; of `available`, that are.
    """

    name: str
    rows: int
    users: int
    items: int
    described: int = 0
    filled: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, dataset: Dataset, log: Log) -> DataProfile:
        """Count a dataset and the log it became."""
        items = len(log.catalogue)
        return cls(dataset.name, len(log), len(log.user_ids), items, len(dataset.items), filled(dataset, items))


def filled(dataset: Dataset, items: int) -> dict[str, float]:
    """Share of the `items` of a catalogue that have a value, by column of the items table.

    An item that only the log names has none: where ids no longer match (a leading zero was lost), all columns fall.
    """
    table = dataset.items.drop(columns="item_id")
    full = {str(column): int(_full(table[column]).sum()) for column in table}
    if AVAILABLE in full:
        full[AVAILABLE] += items - len(table)  # what the table does not name is available
    return {column: round(count / max(items, 1), 6) for column, count in full.items()}


def _full(values: pd.Series) -> pd.Series:
    """Which of a column's values are one."""
    if values.name == AVAILABLE:
        return values.astype("bool")
    if values.name == "categories":
        return values.map(len) > 0
    return values.notna() & (values.astype("str").str.strip() != "")


@dataclass(frozen=True, slots=True)
class Live:
    """What the gate asks of the live generation, all of it from its manifest; scores: None where no ranker scored."""

    id: str
    data: DataProfile
    protocol: str = ""
    served: Row = field(default_factory=dict)
    scores: Scores | None = None
    format: int = FORMAT

    @classmethod
    def of(cls, manifest: Manifest) -> Live:
        """Read a manifest; what an older one did not note is left out."""
        data, metrics = manifest.data, manifest.metrics
        profile = DataProfile(
            name=data.get("name", ""),
            rows=data.get("rows", 0),
            users=data.get("users", 0),
            items=data.get("items", 0),
            described=data.get("described", 0),
            filled=data.get("filled", {}),
        )
        scores = metrics.get("scores")
        spread = Scores.from_json(scores) if scores else None
        served = metrics.get(SERVED, {})
        return cls(manifest.id, profile, metrics.get("protocol", ""), served, spread, manifest.format)
