"""The models of generations on this host, with what each user had done at a request: for the replay of logged slates.

The record in a generation's folder has the user's events up to the end of the generation's data. The files of collected
events have the later ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from recsys.errors import DatasetError
from recsys.generation.content_checks import check, readable
from recsys.generation.manifest import NAME, GenerationFolder
from recsys.lists.user_record import UserRecord
from recsys.model.ranker import Ranker
from recsys.retrieval.retriever import Retriever
from recsys.slates.served_generation import ServedGeneration
from recsys.types import Event
from training.advisor.replayed_slates import ReplayedService
from training.data.collected_events import SCHEMA, united
from training.data.day_partitions import by_day, read_files
from training.data.locations import Location
from training.offpolicy.logged_draws import LoggedSlate
from training.offpolicy.replay.replayed_target import ReplayedTarget

EventsOf = dict[str, list[tuple[float, Event]]]
"""The collected events of each user: the time of arrival, and the event."""


def read_events(folder: Location, users: Collection[str]) -> EventsOf:
    """The collected events of some users, each once, oldest first. No folder has none. Errors as `read_files`."""
    found: EventsOf = defaultdict(list)
    files = [file for of_day in by_day(folder).values() for file in of_day]
    if not files:
        return found
    columns = ["entry", "user_id", "item_id", "timestamp", "event_type", "arrived"]
    table = read_files(files, SCHEMA, columns, pc.field("user_id").isin(pa.array(sorted(users), pa.string())))
    for row in united([table]).sort_by("timestamp").to_pylist():
        event = Event(row["user_id"], row["item_id"], row["timestamp"], row["event_type"])
        found[row["user_id"]].append((row["arrived"], event))
    return found


def stored_target(folder: Path, generation: str, events: EventsOf) -> ReplayedTarget:
    """The policy of a generation below a folder. DatasetError if it is not there, GenerationError if it is damaged."""
    if not NAME.fullmatch(generation) or not (folder / generation).is_dir():
        raise DatasetError(
            f"There is no generation {generation[:64]!r} in {folder}. A policy needs the folder of its generation, on "
            "the host that trained it."
        )
    stored = GenerationFolder(folder / generation)
    stored.verify(users=True)
    check(stored)
    with readable(generation):
        served = ServedGeneration.load(stored)
        service = ReplayedService(served, Retriever.load(stored, served.tables), Ranker.load(stored, served.tables))
        ids, records = stored.users()

    def past(slate: LoggedSlate) -> tuple[UserRecord, Sequence[Event]]:
        row = ids.row_of(slate.user_id)
        record = UserRecord.unpack(None if row is None else records.bytes_at(row))
        known = events.get(slate.user_id, ())
        return record, [each for arrived, each in known if max(arrived, each.timestamp) <= slate.asked]

    return ReplayedTarget(service, past, stored.manifest.data_end)
