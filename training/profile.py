"""What two generations are compared by, as values: a dataset in figures, and the live generation's manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from recsys.generation import Manifest
from training.dataset import Dataset
from training.evaluation import SERVED, Row
from training.glimpse import Scores
from training.log import Log

AVAILABLE = "available"


@dataclass(frozen=True, slots=True)
class DataProfile:
    """A dataset in figures.

    described: rows of the items table. filled: share of them that have a value, by column; of `available`, that are.
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
        return cls(dataset.name, len(log), len(log.user_ids), len(log.catalogue), len(dataset.items), filled(dataset))


def filled(dataset: Dataset) -> dict[str, float]:
    """Share of the items table's rows that have a value, by column."""
    shares = {}
    for column in dataset.items.columns.drop("item_id"):
        values = dataset.items[column]
        if column == AVAILABLE:
            full = values.astype("bool")
        elif column == "categories":
            full = values.map(len) > 0
        else:
            full = values.notna() & (values.astype("str").str.strip() != "")
        shares[str(column)] = round(float(full.mean()), 6)
    return shares


@dataclass(frozen=True, slots=True)
class Live:
    """What the gate asks of the live generation, all of it from its manifest; scores: None where no ranker scored."""

    id: str
    data: DataProfile
    protocol: str = ""
    served: Row = field(default_factory=dict)
    scores: Scores | None = None

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
        return cls(manifest.id, profile, metrics.get("protocol", ""), metrics.get(SERVED, {}), spread)
