"""Copy the log of events from the store into Parquet files, each event once: a part of the flow `drain`.

The store keeps a cursor: the last entry of the log that is in a file. The cursor moves after the file is complete. The
entry before a file names the file, so a run after a kill writes the same file again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from flows.orchestration import store_step
from recsys.store.redis.event_collection import RedisEventCollection
from recsys.store.stored_types import CollectedBatch, CollectedEvent
from recsys.utc_day import day_of
from training.read.collected import SCHEMA, united
from training.read.day_partitions import DAY, exists, read_table, write_table
from training.read.locations import Location

EVENTS_OF_FILE = 20_000
"""Events of a file and of a step, at most: 0.5 MB."""


@dataclass(frozen=True)
class CollectedEvents:
    """The result of a run. damaged: unreadable entries. lost: events that the log's limits removed before this run."""

    events: int = 0
    damaged: int = 0
    lost: int = 0
    files: list[str] = field(default_factory=list)

    def plus(self, step: CollectedEvents) -> CollectedEvents:
        """The result of this and the next step."""
        return CollectedEvents(
            self.events + step.events, self.damaged + step.damaged, self.lost + step.lost, self.files + step.files
        )


@store_step
def collect_events(store: RedisEventCollection, folder: Location) -> CollectedEvents:
    """Copy the events that are in no file yet. Events that arrive meanwhile may be left for the next run."""
    done, start = CollectedEvents(), store.now()
    while batch := store.begin(EVENTS_OF_FILE):
        files = [write_day(folder, day, batch.after, events) for day, events in _by_day(batch).items()]
        if store.finish(batch):  # otherwise another collector has counted the batch
            done = done.plus(CollectedEvents(len(batch.events), batch.unreadable, batch.lost, files))
        if batch.last_arrived >= start:
            break
    return done


def write_day(folder: Location, day: str, after: str, events: list[CollectedEvent]) -> str:
    """Write the events of one day, and return the file. Rows that the file has already stay.

    A store that restarted from an older copy of its data may lack events that the file has.
    """
    file, table = folder / f"{DAY}{day}" / f"{after}.parquet", to_table(events)
    write_table(united([read_table(file), table]) if exists(file) else table, file)
    return str(file)


def _by_day(batch: CollectedBatch) -> dict[str, list[CollectedEvent]]:
    days: dict[str, list[CollectedEvent]] = {}
    for event in batch.events:
        days.setdefault(day_of(event.arrived), []).append(event)
    return days


def to_table(events: list[CollectedEvent]) -> pa.Table:
    """The rows of some events. Ids are text."""
    rows = [
        {
            "entry": each.entry,
            "user_id": str(each.event.user_id),
            "item_id": str(each.event.item_id),
            "timestamp": each.event.timestamp,
            "event_type": each.event.event_type,
            "event_id": each.event.event_id or None,
            "context": [*each.event.context.items()],
            "dataset": each.dataset,
            "arrived": each.arrived,
        }
        for each in events
    ]
    return pa.Table.from_pylist(rows, SCHEMA)
