"""What the gate compares a new dataset with: the profile of a dataset, its figures such as sizes, times and shares.

The gate is the set of checks before a newly trained model goes live. `LiveGeneration` holds what it compares of the
model that is live, from that model's manifest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys.generation.manifest import FORMAT, Manifest
from training.encode.interaction_log import Log
from training.judge.gate.past_generations import PastGeneration, past_of
from training.judge.metric_table import SERVED, Row
from training.read.dataset import Dataset
from training.results import Scores

AVAILABLE = "available"
NOT_IN_MANIFEST = {"hashes", "examples"}
"""Fields of a profile that a manifest does not keep."""

LATELY = 0.1
"""Share of the events, the newest, whose items should be available."""

FEWEST = 10
"""Items of the newest events below which the share of available items is not judged."""

SAMPLE = 100
"""Hashes of users and of items that a manifest keeps: a share of one half has a standard error of .05."""

U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class DataProfile:
    """A dataset in figures.

    items: also those that only the log names. described: rows of the items table. filled: by column of the items table,
    the share of all items with a value; of `available`, the share of available items. first, last: times of the oldest
    and the newest event. gap: the longest time without an event, seconds. hours: share of the events by hour of day,
    UTC. types: share of the events by type. described_events: share of the events whose item is in the items table;
    None: there is no such table. available_lately: share of the items of the newest events that are available; None:
    there is no such column, or too few items. read: rows of each file. hashes: of all ids, by kind, ascending; a
    manifest keeps a `sample` of them and no ids. set_aside, duplicates, ahead, collected, examples: see `ReadingNotes`.
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
    collected: Mapping[str, float] = field(default_factory=dict)
    sample: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    hashes: Mapping[str, U64] = field(default_factory=dict, compare=False, repr=False)
    examples: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, dataset: Dataset, log: Log) -> DataProfile:
        """Count a dataset and its log."""
        notes, described = dataset.notes, len(dataset.items)
        hashes = {"users": _hashed(log.user_ids), "items": _hashed(log.catalogue.ids)}
        added = notes.collected.rows if notes.collected else 0
        tables = {"interactions": len(dataset.interactions) + notes.duplicates - added, "items": described}
        tables |= {"collected": added} if notes.collected else {}
        hour_counts = np.bincount((log.times // 3_600 % 24).astype(np.int64), minlength=24)
        types = dataset.interactions["event_type"].value_counts(normalize=True)
        return cls(
            name=dataset.name,
            rows=len(log),
            users=len(log.user_ids),
            items=len(log.catalogue),
            described=described,
            filled=_filled(dataset, len(log.catalogue)),
            first=float(log.times[0]),
            last=log.end,
            gap=float(np.diff(log.times).max(initial=0.0)),
            hours=tuple(_share(count, len(log)) for count in hour_counts),
            types={str(name): _share(share, 1) for name, share in types.items() if share},
            described_events=_share((log.items < described).sum(), len(log)) if described else None,
            available_lately=_available_lately(dataset, log),
            read={table: n + notes.bad_rows(table) for table, n in tables.items()},
            set_aside=notes.set_aside,
            duplicates=notes.duplicates,
            ahead=notes.ahead,
            collected=asdict(notes.collected) if notes.collected else {},
            sample={kind: tuple(found[:SAMPLE].tolist()) for kind, found in hashes.items()},
            hashes=hashes,
            examples=notes.examples,
        )

    @classmethod
    def from_manifest(cls, data: Mapping[str, Any]) -> DataProfile:
        """The profile that a manifest keeps. Fields that an older manifest lacks have their defaults."""
        known = {each.name for each in fields(cls)} - NOT_IN_MANIFEST
        blank: dict[str, Any] = {"name": "", "rows": 0, "users": 0, "items": 0}
        return cls(**blank | {name: value for name, value in data.items() if name in known})

    def to_json(self) -> dict[str, Any]:
        """The profile as a manifest keeps it."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name not in NOT_IN_MANIFEST}


def _share(count: float, total: int) -> float:
    return round(float(count) / max(total, 1), 6)


def _available_lately(dataset: Dataset, log: Log) -> float | None:
    lately = np.unique(log.items[-math.ceil(LATELY * len(log)) :])
    if AVAILABLE not in dataset.items or len(lately) < FEWEST:
        return None
    return _share(log.catalogue.available[lately].sum(), len(lately))


def _hashed(ids: object) -> U64:
    """A number of each id, ascending: the same in every run, and an integer's is that of its text."""
    hashes: U64 = np.sort(pd.util.hash_array(np.asarray(ids, str).astype(object)))
    return hashes


def _filled(dataset: Dataset, items: int) -> dict[str, float]:
    """Share of the `items` of a catalogue that have a value, by column of the items table.

    An item that only the log names has none: if ids no longer match (a leading zero was lost), all columns fall.
    """
    table = dataset.items.drop(columns="item_id")
    full = {str(column): int(_has_value(table[column]).sum()) for column in table}
    if AVAILABLE in full:
        full[AVAILABLE] += items - len(table)  # an item that the table does not name is available
    return {column: _share(count, items) for column, count in full.items()}


def _has_value(values: pd.Series) -> pd.Series:
    if values.name == AVAILABLE:
        return values.astype("bool")
    if values.name == "categories":
        return values.map(len) > 0
    return values.notna() & (values.astype("str").str.strip() != "")


@dataclass(frozen=True, slots=True)
class LiveGeneration:
    """What the gate compares of the live generation, the models and tables that servers use, from its manifest.

    scores: None if no ranker gave scores. past: the better generations of 30 days before it, and itself.
    """

    id: str
    data: DataProfile
    protocol: str = ""
    served: Row = field(default_factory=dict)
    scores: Scores | None = None
    format: int = FORMAT
    targets: tuple[str, ...] = ()
    past: tuple[PastGeneration, ...] = ()

    @classmethod
    def of(cls, manifest: Manifest) -> LiveGeneration:
        """Read a manifest, also an older one that lacks figures."""
        metrics = manifest.metrics
        return cls(
            id=manifest.id,
            data=DataProfile.from_manifest(manifest.data),
            protocol=metrics.get("protocol", ""),
            served=metrics.get(SERVED, {}),
            scores=Scores.from_json(metrics["scores"]) if metrics.get("scores") else None,
            format=manifest.format,
            targets=tuple(metrics.get("targets", ())),
            past=past_of(manifest),
        )
