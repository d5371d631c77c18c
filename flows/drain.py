"""Impressions out of the store and into Parquet: training rows for the ranker, point-in-time correct by construction.

The features are those that ranked the slate when it was shown; the label is what the user did within the wait after.
Entries leave the store once their file stands, and the file's name is theirs: killed in between, a rerun writes the
same file once more.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.publish import lost_the_store
from recsys.environment import Environment
from recsys.features import FEATURES
from recsys.impression import Impression
from recsys.store.base import FlowStore, LoggedImpression
from recsys.store.connect import open_store
from recsys.types import Event, Source
from training.watch import Watch

AT_ONCE = 2_000
"""Impressions of a file, at most: some 40,000 rows, 10 MB."""

WAIT_SECONDS = 1_800.0
"""How long after a slate an action counts as its label."""


@dataclass(frozen=True)
class Drained:
    """What a run did. damaged: entries that could not be read, and are gone. waiting: younger than the wait."""

    impressions: int
    rows: int
    taken: int
    damaged: int
    waiting: int
    files: list[Path]


@flow(name="drain", validate_parameters=False)
def drain(wait: float, watch: Watch) -> Drained:
    """Every impression that is old enough, as Parquet in the home."""
    environment, done = Environment.read(), Drained(0, 0, 0, 0, 0, [])
    with open_store(environment) as opened, watch("impressions") as progress:
        store, folder = opened.flows(), environment.folder("impressions")
        while True:
            step = drain_some(store, folder, wait, time.time())
            done = Drained(
                done.impressions + step.impressions,
                done.rows + step.rows,
                done.taken + step.taken,
                done.damaged + step.damaged,
                step.waiting,
                done.files + step.files,
            )
            progress(0.5, f"{done.impressions:,} impressions")
            if not step.impressions and not step.damaged:
                return done


@task(cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[1, 2, 5], retry_condition_fn=lost_the_store)
def drain_some(store: FlowStore, folder: Path, wait: float, now: float) -> Drained:
    """The oldest impressions that are old enough: written, and then let go of."""
    entries = store.read_impressions(count=AT_ONCE)
    read = [(entry, _read(entry)) for entry in entries]
    ripe = [(entry, told) for entry, told in read if told is not None and told.time + wait <= now]
    damaged = [entry for entry, told in read if told is None]
    files, rows, taken = [], 0, 0
    for width in {told.features.shape[1] for _, told in ripe} - {len(FEATURES)}:
        damaged += [entry for entry, told in ripe if told.features.shape[1] == width]  # of another code's ranker
    ripe = [(entry, told) for entry, told in ripe if told.features.shape[1] == len(FEATURES)]
    if ripe:
        events = store.read_events([str(told.user_id) for _, told in ripe])
        table = to_table(ripe, events, wait)
        files.append(_write(table, folder, ripe))
        rows, taken = table.num_rows, int(np.sum(table["label"].to_numpy()))
    store.drop_impressions([entry.entry for entry, _ in ripe] + [entry.entry for entry in damaged])
    waiting = len(entries) - len(ripe) - len(damaged)
    return Drained(len(ripe), rows, taken, len(damaged), waiting, files)


def to_table(
    shown: Sequence[tuple[LoggedImpression, Impression]], events: Sequence[Sequence[Event]], wait: float
) -> pa.Table:
    """A row for each item shown; events: what each slate's user did."""
    columns: dict[str, list[object]] = {name: [] for name in COLUMNS.names}
    features = np.concatenate([told.features for _, told in shown])
    for (entry, told), done in zip(shown, events, strict=True):
        after = {
            str(event.item_id): event.event_type
            for event in reversed(done)
            if told.time <= event.timestamp <= told.time + wait
        }
        for at, item in enumerate(told.items):
            values = (
                *(entry.entry, str(told.user_id), told.generation, told.time, told.asked, told.mode),
                *(str(item), int(told.places[at]), float(told.scores[at])),
                *(",".join(Source(int(told.sources[at])).names()), str(item) in after, after.get(str(item))),
            )
            for name, value in zip(columns, values, strict=True):
                columns[name].append(value)
    arrays = [pa.array(values, COLUMNS.field(name).type) for name, values in columns.items()]
    arrays += [pa.array(features[:, at], pa.float32()) for at in range(len(FEATURES))]
    fields = [*COLUMNS, *(pa.field(f"feature.{name}", pa.float32()) for name in FEATURES)]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


COLUMNS = pa.schema(
    [
        ("impression", pa.string()),
        ("user_id", pa.string()),
        ("generation", pa.string()),
        ("time", pa.float64()),
        ("asked", pa.float64()),
        ("mode", pa.string()),
        ("item_id", pa.string()),
        ("place", pa.int32()),
        ("score", pa.float32()),
        ("sources", pa.string()),
        ("label", pa.bool_()),
        ("event_type", pa.string()),
    ]
)


def _read(entry: LoggedImpression) -> Impression | None:
    try:
        return Impression.unpack(entry.data)
    except ValueError:
        return None


def _write(table: pa.Table, folder: Path, ripe: Sequence[tuple[LoggedImpression, Impression]]) -> Path:
    day = time.strftime("%Y-%m-%d", time.gmtime(ripe[0][1].time))
    path = folder / f"date={day}" / f"{ripe[0][0].entry}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}")
    pq.write_table(table, scratch)
    scratch.replace(path)
    return path
