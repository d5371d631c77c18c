"""What two generations are compared by, as values: a dataset in figures, and the live generation's manifest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys.generation.manifest import FORMAT, Manifest
from recsys.types import F64
from training.data.dataset import Dataset
from training.data.interaction_log import Log
from training.evaluation.metric_table import SERVED, Row
from training.evaluation.preview import Scores

AVAILABLE = "available"
UNNOTED = {"hashes", "examples"}
"""Fields of a profile that a manifest does not keep."""

U64 = npt.NDArray[np.uint64]

LATELY = 0.1
"""Share of the events, the newest, whose items should be available."""

FEWEST = 10
"""Items of these events, below which their share says nothing."""

SAMPLE = 100
"""Hashes of users and of items that a manifest keeps: a share of one half has a standard error of .05."""


@dataclass(frozen=True, slots=True)
class DataProfile:
    """A dataset in figures.

    items: those that only the log names too. described: rows of the items table. filled: share of all items that have a
    value, by column of the table; of `available`, that are. first, last: times of the oldest and the newest event. gap:
    the longest time without one, seconds. hours: share of the events by hour of the day, UTC. types: by event type.
    described_events: share of the events whose item is in the items table; None: there is no such table.
    available_lately: share of the items of the newest events that are available; None: no column says so, or there
    are too few items. read: rows of each file. set_aside: what went into quarantine, by reason. duplicates, ahead:
    see `Dataset`. hashes: of all ids, by kind, ascending; a manifest keeps a `sample` of them and no ids. examples:
    see `Dataset`; not in a manifest.
    """

    name: str
    rows: int
    users: int
    items: int
    described: int = 0
    filled: Mapping[str, float] = field(default_factory=dict)
    first: float = 0.0
    last: float = 0.0
    gap: float = 0.0
    hours: tuple[float, ...] = ()
    types: Mapping[str, float] = field(default_factory=dict)
    described_events: float | None = None
    available_lately: float | None = None
    read: Mapping[str, int] = field(default_factory=dict)
    set_aside: Mapping[str, int] = field(default_factory=dict)
    duplicates: int = 0
    ahead: int = 0
    sample: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    hashes: Mapping[str, U64] = field(default_factory=dict, compare=False, repr=False)
    examples: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, dataset: Dataset, log: Log) -> DataProfile:
        """Count a dataset and the log it became."""
        items, described = len(log.catalogue), len(dataset.items)
        hashes = {"users": hashed(log.user_ids), "items": hashed(log.catalogue.ids)}
        tables = {"interactions": len(dataset.interactions) + dataset.duplicates, "items": described}
        return cls(
            name=dataset.name,
            rows=len(log),
            users=len(log.user_ids),
            items=items,
            described=described,
            filled=filled(dataset, items),
            first=float(log.times[0]),
            last=log.end,
            gap=float(np.diff(log.times).max(initial=0.0)),
            hours=by_hour(log.times),
            types=shares(dataset.interactions["event_type"]),
            described_events=round(float((log.items < described).mean()), 6) if described else None,
            available_lately=_available_lately(dataset, log),
            read={table: n + sum(dataset.quarantined.get(table, {}).values()) for table, n in tables.items()},
            set_aside=set_aside(dataset),
            duplicates=dataset.duplicates,
            ahead=dataset.ahead,
            sample={kind: tuple(found[:SAMPLE].tolist()) for kind, found in hashes.items()},
            hashes=hashes,
            examples=dataset.examples,
        )

    @classmethod
    def noted(cls, data: Mapping[str, Any]) -> DataProfile:
        """A profile as a manifest notes it; what an older one did not note is left out."""
        known = {each.name for each in fields(cls)} - UNNOTED
        blank: dict[str, Any] = {"name": "", "rows": 0, "users": 0, "items": 0}
        return cls(**blank | {name: value for name, value in data.items() if name in known})

    def to_json(self) -> dict[str, Any]:
        """For a manifest."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name not in UNNOTED}


def _available_lately(dataset: Dataset, log: Log) -> float | None:
    """The share of the items of the newest events that are available."""
    lately = np.unique(log.items[-math.ceil(LATELY * len(log)) :])
    if AVAILABLE not in dataset.items or len(lately) < FEWEST:
        return None
    return round(float(log.catalogue.available[lately].mean()), 6)


def by_hour(times: F64) -> tuple[float, ...]:
    """The share of the events in each hour of the day, UTC."""
    counts = np.bincount((times // 3_600 % 24).astype(np.int64), minlength=24)
    return tuple(round(float(share), 6) for share in counts / max(len(times), 1))


def shares(types: pd.Series) -> dict[str, float]:
    """The share of the events of each type."""
    counts = types.value_counts(normalize=True)
    return {str(name): round(float(share), 6) for name, share in counts.items() if share}


def hashed(ids: object) -> U64:
    """A number of each id, ascending: the same in every run, and an integer's is that of its text."""
    found: U64 = np.sort(pd.util.hash_array(np.asarray(ids, str).astype(object)))
    return found


def set_aside(dataset: Dataset) -> dict[str, int]:
    """Rows and values in quarantine: "items, item_id: empty" and "values of items, price: not a number"."""
    rows = {f"{table}, {why}": n for table, reasons in dataset.quarantined.items() for why, n in reasons.items()}
    cells = {
        f"values of {table}, {why}": n for table, reasons in dataset.bad_values.items() for why, n in reasons.items()
    }
    return rows | cells


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
    targets: tuple[str, ...] = ()

    @classmethod
    def of(cls, manifest: Manifest) -> Live:
        """Read a manifest; what an older one did not note is left out."""
        data, metrics = manifest.data, manifest.metrics
        scores = metrics.get("scores")
        spread = Scores.from_json(scores) if scores else None
        served = metrics.get(SERVED, {})
        targets = tuple(metrics.get("targets", ()))
        return cls(
            manifest.id, DataProfile.noted(data), metrics.get("protocol", ""), served, spread, manifest.format, targets
        )
