"""Read and validate a dataset: tables of interactions and items, and a `dataset.toml` that gives the meaning of their
columns.

Bad rows are moved to CSV files (the quarantine) with their reason, and counted. A table that is empty, mostly bad or
ambiguous, or that lacks a column, raises a DatasetError with the column and the fix.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from recsys.model.event_types import EventRules, SeenRule
from recsys.user_digest import DeletedUsers
from training.processes.engine import LOCAL, Engine
from training.progress import StepProgress, no_step
from training.read.items_reader import check_ids, read_items, unmatched_events
from training.read.log_reader import read_log
from training.read.mapping import Mapping, Moments
from training.read.quarantine import Quarantine, ReadingNotes


@dataclass(frozen=True)
class Dataset:
    """Validated tables with Tandem's column names.

    interactions: user_id, item_id, timestamp (float64 unix seconds), event_type and a column `context.c` for each
    of `context_columns`, in order of time; rows of one second keep the file's order. items: item_id, title, available
    and content columns. events: the meaning of each event type. weighed_by_value: types whose events weigh by `value`.
    protocol: how models of the dataset are trained and measured. moments: when the test begins, if the mapping states
    it. exact_times: whether the times are exact within a day: no mapping says otherwise, and they are not all days.
    feature_columns: columns of the items that are features of the ranker. impressions: whether the ranker trains on
    slates that users were shown.
    """

    name: str
    interactions: pd.DataFrame
    items: pd.DataFrame
    exclude_seen: SeenRule
    content_columns: tuple[str, ...] = ()
    numeric_columns: tuple[str, ...] = ()
    boolean_columns: tuple[str, ...] = ()
    feature_columns: tuple[str, ...] = ()
    context_columns: tuple[str, ...] = ()
    events: EventRules = field(default_factory=EventRules)
    weighed_by_value: tuple[str, ...] = ()
    protocol: str = "rolling"
    moments: Moments = field(default_factory=Moments)
    notes: ReadingNotes = field(default_factory=ReadingNotes)
    exact_times: bool = True
    impressions: bool = False


def read(
    data: str | Path,
    quarantine_folder: Path | None = None,
    deleted: DeletedUsers | None = None,
    engine: Engine = LOCAL,
    progress: StepProgress = no_step,
) -> Dataset:
    """Read and validate the dataset at `data`; bad rows go to CSV files in `quarantine_folder`, if given.

    deleted: users whose rows before their deletion are left out. engine: reads the parts of a log in Parquet files.
    """
    mapping, quarantine = Mapping.read(data), Quarantine(quarantine_folder)
    toml = mapping.toml
    log = read_log(mapping, quarantine, deleted or {}, engine, progress)
    items = read_items(mapping, quarantine)
    if toml.items is not None:
        column = mapping.column(toml.interactions, "item_id")
        check_ids(log["item_id"], items["item_id"], column, mapping.column(toml.items, "item_id"))
        ids = log["item_id"]
        quarantine.note_example("events described", column, ids[unmatched_events(ids, items["item_id"])])
    return Dataset(
        name=mapping.name,
        interactions=log.reset_index(drop=True),
        items=items.reset_index(drop=True),
        exclude_seen=toml.settings.seen_rule,
        content_columns=toml.items.content if toml.items else (),
        numeric_columns=toml.items.numeric if toml.items else (),
        boolean_columns=toml.items.boolean if toml.items else (),
        feature_columns=toml.features.items,
        context_columns=toml.interactions.context,
        events=toml.events.rules if toml.events else EventRules(),
        weighed_by_value=toml.events.weigh_by_value if toml.events else (),
        protocol=mapping.protocol,
        moments=Moments(toml.evaluation.test_from, toml.evaluation.labels_from),
        notes=quarantine.notes,
        exact_times=toml.interactions.exact_times and not quarantine.notes.only_days,
        impressions=toml.collected.impressions,
    )
