"""The models of generations on this host, with what each user had done at a request: for the replay of logged slates.

The record in a generation's folder has the user's events up to the end of the generation's data. The files of collected
events have the later ones, and those of all users that the ranker's features count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.errors import DatasetError
from recsys.generation.content_checks import check, readable
from recsys.generation.manifest import NAME, GenerationFolder
from recsys.kernels.recent_events import RecentEvents, item_events
from recsys.lists.user_record import UserRecord
from recsys.model.ranker import Ranker
from recsys.retrieval.retriever import Retriever
from recsys.slates.served_generation import ServedGeneration
from recsys.types import PAD, Event
from training.judge.replayed_slates import ReplayedService
from training.offpolicy.logged_draws import LoggedSlate
from training.offpolicy.replayed_target import ReplayedTarget
from training.read.collected_events import SCHEMA, united
from training.read.day_partitions import by_day, read_files
from training.read.locations import Location

_WINDOW = 25 * 3_600.0
"""Seconds before a request in which the ranker's features count events: a day, from a full hour on."""


class MissingGeneration(DatasetError):
    """The folder of a generation is not on this host."""


@dataclass(frozen=True)
class CollectedPast:
    """of_users: the events of each user who was shown a slate, and when they arrived. counted: those of all users."""

    of_users: Mapping[str, Sequence[tuple[float, Event]]] = field(default_factory=dict)
    counted: pa.Table = field(default_factory=lambda: SCHEMA.empty_table())


def read_past(folder: Location, users: Collection[str], first: float, last: float) -> CollectedPast:
    """The collected events for requests of some users between two times. No folder has none. Errors as `read_files`."""
    files = [file for of_day in by_day(folder).values() for file in of_day]
    if not files:
        return CollectedPast()
    shared, found = ["entry", "item_id", "timestamp", "event_type"], defaultdict(list)
    of_users = pc.field("user_id").isin(pa.array(sorted(users), pa.string()))
    mine = read_files(files, SCHEMA, [*shared, "user_id", "arrived"], of_users)
    for row in united([mine]).sort_by("timestamp").to_pylist():
        event = Event(row["user_id"], row["item_id"], row["timestamp"], row["event_type"])
        found[row["user_id"]].append((row["arrived"], event))
    counted = (pc.field("timestamp") >= first - _WINDOW) & (pc.field("timestamp") <= last)
    return CollectedPast(found, united([read_files(files, SCHEMA, shared, counted)]).sort_by("timestamp"))


def stored_target(folder: Path, generation: str, collected: CollectedPast) -> ReplayedTarget:
    """The policy of a generation below a folder. MissingGeneration, or GenerationError if it is damaged."""
    if not NAME.fullmatch(generation) or not (folder / generation).is_dir():
        raise MissingGeneration(
            f"There is no generation {generation[:64]!r} in {folder}. A policy needs the folder of its generation, on "
            "the host that trained it."
        )
    stored = GenerationFolder(folder / generation)
    stored.verify(users=True)
    check(stored)
    with readable(generation):
        served = ServedGeneration.load(stored)
        ranker = Ranker.load(stored, served.tables).counting(_recent_events(served, collected.counted))
        service = ReplayedService(served, Retriever.load(stored, served.tables), ranker)
        ids, records = stored.users()

    def past(slate: LoggedSlate) -> tuple[UserRecord, Sequence[Event]]:
        row = ids.row_of(slate.user_id)
        record = UserRecord.unpack(None if row is None else records.bytes_at(row))
        known = collected.of_users.get(slate.user_id, ())
        return record, [each for arrived, each in known if max(arrived, each.timestamp) <= slate.asked]

    return ReplayedTarget(service, past, stored.manifest.data_end)


def _recent_events(served: ServedGeneration, counted: pa.Table) -> RecentEvents:
    """The events that features count: of items and types that the generation has, without negative types."""
    negative, columns = served.spec.negative_types, []
    for name, rows_of in (("item_id", served.rows_of), ("event_type", lambda kinds: map(served.spec.type_row, kinds))):
        codes = counted[name].combine_chunks().dictionary_encode()
        rows = np.array([PAD if row is None else row for row in rows_of(codes.dictionary.to_pylist())], np.int32)
        columns.append(rows[codes.indices.to_numpy(zero_copy_only=False)])
    items, types = columns
    known = (items != PAD) & (types != PAD)
    if negative is not None:
        known &= ~negative[types]
    minutes = counted["timestamp"].to_numpy()[known] // 60
    events = item_events(items[known], minutes, np.ones(len(minutes), np.int64), len(served.tables))
    return RecentEvents(events, events)
