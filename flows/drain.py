"""The Prefect flow `drain`: move impressions (recommended items that users were shown) and the log of events from Redis
into Parquet files.

A file of impressions has a row for each shown item: the features that ranked it and, as the label, whether the user
took it within the wait. An event labels the newest slate with its item only. With `impressions = true` in [collected]
of `dataset.toml` the ranker trains on these rows.

Entries leave Redis, oldest first, after their files are complete. The first entry names the files, so a rerun after a
kill writes the same files again.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby, takewhile
from typing import Annotated

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from flows import WAIT_HELP, WAIT_SECONDS
from flows.collection.collect_events import CollectedEvents, collect_events
from flows.collection.credited_events import (
    AT_ONCE,
    CreditedTypes,
    StoredSlates,
    credited_events,
    read_slate,
    read_stored_slates,
)
from flows.collection.day_files import join_days, remove_old_days
from flows.forgetting.deleted_users import remove_deleted_users
from flows.forgetting.restored_users import delete_restored_users
from flows.orchestration import store_step, write_result
from flows.progress import run_progress
from flows.run_records import recorded_flow
from flows.steps import experiment_sums
from flows.steps.parquet_export import LISTS
from recsys.environment import Environment
from recsys.lists import exploration_record
from recsys.lists.impression import Impression, arms_text
from recsys.model.features import FEATURES
from recsys.retrieval.registry import names_of
from recsys.store.from_environment import open_store
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.store.run_record import RunFigures
from recsys.utc_day import day_of
from training.progress import StepProgress
from training.read import collected as collected_files
from training.read import impressions
from training.read.day_partitions import DAY, write_table
from training.read.impressions import SHOWN_ITEM
from training.read.locations import Location, exports


@dataclass(frozen=True)
class DrainResult:
    """The result of a run. rows: items shown. taken: items that users took. damaged: unreadable entries, deleted.

    waiting: entries younger than the wait, among the last AT_ONCE that were read. lost: entries that the store's limits
    removed since the last drain. deleted: rows and places of deleted users in the files of all flows.
    restored: users whom a restored store had again, and who were deleted again. events: of the log.
    joined, removed: days whose files were joined, and old days that were removed.
    """

    impressions: int = 0
    rows: int = 0
    taken: int = 0
    damaged: int = 0
    waiting: int = 0
    files: list[str] = field(default_factory=list)
    lost: int = 0
    deleted: int = 0
    restored: int = 0
    events: CollectedEvents = field(default_factory=CollectedEvents)
    joined: int = 0
    removed: int = 0

    def plus(self, step: DrainResult) -> DrainResult:
        """The result of this and the next step."""
        return DrainResult(
            self.impressions + step.impressions,
            self.rows + step.rows,
            self.taken + step.taken,
            self.damaged + step.damaged,
            step.waiting,
            self.files + step.files,
        )

    def figures(self) -> RunFigures:
        """The figures for the record of the run: rows in are impressions and events, rows out the rows of files."""
        damaged, events = self.damaged + self.events.damaged, self.events.events
        return RunFigures(self.impressions + events + damaged, self.rows + events, quarantined=damaged)


@recorded_flow("drain", timeout_seconds=900)
def drain(
    wait: Annotated[float, Field(ge=0, le=30 * 86_400, description=WAIT_HELP)] = WAIT_SECONDS,
) -> DrainResult:
    """Move impressions that are old enough from the store into Parquet files, with features and labels."""
    environment = Environment.read()
    shown, events, sums = (
        exports(environment, folder) for folder in (impressions.FOLDER, collected_files.FOLDER, experiment_sums.FOLDER)
    )
    days = environment.collected_days  # a wrong setting is an error before anything is written
    with open_store(environment) as opened, run_progress() as progress:
        store, log = opened.flows(), opened.event_collection()
        restored = delete_restored_users(store, opened.generations(), opened.url, environment.home)
        with progress.step("impressions") as step:
            done = drain_all(store, shown, wait, step)
        with progress.step("events"):
            collected = collect_events(log, events)
        # After the files: this run may have read such a user before.
        tables = [shown, events, sums, exports(environment, LISTS)]
        deleted = remove_deleted_users(store, tables, environment.home)
        joined = join_days(events, log.collected_until())
        removed = remove_old_days([shown, events, sums], store.now(), days)
    done = replace(done, deleted=deleted, restored=restored, events=collected, joined=joined, removed=removed)
    write_result(done)
    return done


def drain_all(store: RedisFlowStore, folder: Location, wait: float, shown: StepProgress) -> DrainResult:
    """Move all impressions that are old enough. Later ones are for the next run: without a wait they would not end."""
    done, now = DrainResult(), store.now()  # entries have times of the same clock
    stored = read_stored_slates(store)
    while True:
        step = drain_some(store, folder, wait, now, stored)
        done = done.plus(step)
        shown(0.5, f"{done.impressions:,} impressions")
        if step.impressions + step.damaged < AT_ONCE:
            break
    lost = store.lost_impressions()
    store.report_lost(lost)
    return replace(done, lost=lost)


@store_step
def drain_some(store: RedisFlowStore, folder: Location, wait: float, now: float, stored: StoredSlates) -> DrainResult:
    """Write the oldest impressions that are old enough, and then remove them from the store.

    now: by the store's clock. stored: all slates of the store, read after that.
    """
    entries = store.read_impressions(count=AT_ONCE)
    # Only entries before the first young one: a rerun then begins with the same entry and writes the same files.
    ripe = list(takewhile(lambda entry: entry.arrived + wait <= now, entries))
    shown = {entry.entry: impression for entry in ripe if (impression := read_slate(entry)) is not None}
    users = list({str(impression.user_id) for impression in shown.values()})
    events = dict(zip(users, store.read_events(users), strict=True))
    later = stored.after(ripe[-1].entry, users) if ripe else {}
    credited = credited_events(shown, later, events, wait)
    files, rows, taken = [], 0, 0
    for day, of_day in _by_day(shown).items():
        table = to_table(of_day, credited, wait)
        path = folder / f"{DAY}{day}" / f"{ripe[0].entry}.parquet"
        write_table(table, path)
        files.append(str(path))
        rows, taken = rows + table.num_rows, taken + (pc.sum(table["label"]).as_py() or 0)
    store.drop_impressions([entry.entry for entry in ripe])
    return DrainResult(len(shown), rows, taken, len(ripe) - len(shown), len(entries) - len(ripe), files)


def _by_day(shown: Mapping[str, Impression]) -> dict[str, dict[str, Impression]]:
    days: dict[str, dict[str, Impression]] = defaultdict(dict)
    for entry, impression in shown.items():
        days[day_of(impression.time)][entry] = impression
    return days


def to_table(shown: Mapping[str, Impression], credited: CreditedTypes, wait: float) -> pa.Table:
    """The rows of impressions, by their entry."""
    rows: list[tuple[object, ...]] = []
    for entry, impression in shown.items():
        user = str(impression.user_id)
        taken_items = credited.get(entry, {})
        arms, assigned = arms_text(impression.arms), arms_text(impression.assigned)
        context = json.dumps(dict(impression.context), sort_keys=True)
        for at, item in enumerate(map(str, impression.items)):
            slate = entry, user, impression.generation, impression.time, impression.asked
            kind = impression.mode, impression.surface
            place = item, int(impression.places[at]), float(impression.scores[at])
            sources = ",".join(names_of(int(impression.sources[at])))
            types = taken_items.get(item, [])
            label = bool(types), types[0] if types else None, types
            slate_end = arms, context, impression.from_store, impression.dataset, impression.time + wait
            rows.append((*slate, *kind, *place, sources, *label, *slate_end, *_draw(impression, at), assigned))
    arrays = [
        pa.array(list(column), field.type) for column, field in zip(zip(*rows, strict=True), SHOWN_ITEM, strict=True)
    ]
    features = _features(shown.values())
    arrays += [pa.array(column, pa.float32()) for column in features.to_numpy().T]
    return pa.Table.from_arrays(arrays, [*SHOWN_ITEM.names, *features])


def _features(shown: Iterable[Impression]) -> pd.DataFrame:
    """The features of all rows: a frame of each run of slates with the same own columns, as one a slate takes long."""
    frames = [
        pd.DataFrame(
            np.concatenate([each.features for each in slates]), columns=impressions.columns_of([*FEATURES, *own])
        )
        for own, slates in groupby(shown, lambda each: each.own_features)
    ]
    return pd.concat(frames)


def _draw(shown: Impression, at: int) -> tuple[bool, float | None, bytes | None]:
    """The columns explored, propensity and exploration of an item. The first row of a slate has the slate's draws."""
    if shown.exploration is None or shown.propensities is None:
        return False, None, None
    return True, float(shown.propensities[at]), None if at else exploration_record.pack(shown.exploration)
