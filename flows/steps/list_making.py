"""Make lists ahead of requests, for users and of similar items: the steps of the flows `batch`, `refresh` and
`item-lists`.

An engine computes the parts of the lists (`flows.list_parts`), and a step writes their rows to a Parquet file. A step
may run again after an error of the store: its writes can be repeated. No step takes a log of events as an argument,
because Prefect inspects every element of an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq

from flows.list_parts import list_work
from flows.list_parts.item_lists import ITEMS, lists_of_items
from flows.list_parts.list_tables import BEST_ITEMS, SIMILAR_ITEMS, MadeLists
from flows.list_parts.list_work import ListWork
from flows.list_parts.user_lists import BUCKETS, USERS, lists_of_buckets, lists_of_new_users, lists_of_users
from flows.orchestration import store_step
from recsys.errors import NOTHING_LIVE, NoGeneration
from recsys.generation.manifest import GenerationFolder
from recsys.lists.trending_items import WINDOW_SECONDS, trending_items
from recsys.model.feature_spec import FeatureSpec
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.stored_types import LIVE, Cursor, LoggedEvent, Trending
from training.processes.engine import LOCAL, Engine
from training.progress import StepProgress

AT_ONCE = 10_000
"""Logged events of one read."""


def live_generation(generations: RedisGenerationStore) -> str:
    """The id of the live generation; NoGeneration if there is none."""
    live = generations.alias(LIVE)
    if live is None:
        raise NoGeneration(NOTHING_LIVE)
    return live


def logged_events(store: RedisFlowStore, after: str = "") -> Iterator[LoggedEvent]:
    """All logged events after an entry."""
    while some := store.read_log(after, AT_ONCE):
        yield from some
        after = some[-1].entry


@dataclass(frozen=True, slots=True)
class ActiveUsers:
    """Users who need new lists. cursor: the last event that was read, None if none was ever logged.

    lost: events that the log's limits removed before they were read. Their users are unknown, so all users with stored
    events need new lists.
    """

    users: list[str]
    cursor: Cursor | None
    lost: int = 0


def active_users(store: RedisFlowStore, spec: FeatureSpec, after: Cursor | None = None) -> ActiveUsers:
    """Users with an event after the cursor, in the order of their first such event.

    Events of types that are not part of a history do not count.
    """
    users: dict[str, None] = {}
    last, lost = None, 0
    for logged in logged_events(store, after.entry if after else ""):
        if after and last is None:
            lost = _lost(store, after, logged)
        last = logged
        if spec.type_row(logged.event.event_type) is not None:
            users[str(logged.event.user_id)] = None
    cursor = Cursor(last.entry, last.number) if last else after
    return ActiveUsers(store.active_users() if lost else [*users], cursor, lost)


def _lost(store: RedisFlowStore, cursor: Cursor, first: LoggedEvent) -> int:
    """The number of events between the cursor and the first event after it that the log's limits removed.

    Limits remove the oldest events first. If an older event is still in the log, they removed none of these: the
    missing events are those of deleted users. Events of earlier versions have no number.
    """
    missing = first.number - cursor.number - 1
    if missing <= 0 or not cursor.number:
        return 0
    oldest = store.read_log(count=1)
    return missing if oldest and oldest[0].number > cursor.number else 0


fetch = store_step(list_work.fetch)


@store_step
def read_active(store: RedisFlowStore, folder: GenerationFolder) -> ActiveUsers:
    """Users who need new lists in a generation."""
    return active_users(store, folder.spec(), store.read_cursor(folder.manifest.id))


@store_step
def update_trending(store: RedisFlowStore, folder: GenerationFolder) -> Trending:
    """Replace the trending items, by a generation's weights of event types and by the store's clock."""
    now = store.now()
    recent = (each.event for each in logged_events(store, f"{int((now - WINDOW_SECONDS) * 1000)}-0"))
    found = Trending(now, trending_items(recent, now, folder.spec()))
    store.write_trending(found)
    return found


@store_step
def make_lists(work: ListWork, users: Sequence[str], progress: StepProgress) -> int:
    """Make and write lists for some users in this process; return how many."""
    return sum(LOCAL.map(partial(lists_of_users, work), in_parts(users), progress))


@store_step
def make_all_lists(
    work: ListWork,
    top: int,
    buckets: int,
    engine: Engine,
    store: RedisFlowStore,
    file: Path,
    progress: StepProgress,
) -> int:
    """Make and write lists for all users of the generation and all users with events; return how many.

    top: items of a user in the Parquet file. buckets: hashes of the generation's users.
    """
    ranges = (range(start, min(start + BUCKETS, buckets)) for start in range(0, buckets, BUCKETS))
    active = in_parts(store.active_users())  # not from the log, which keeps events for a day only
    parts = [
        *(partial(lists_of_buckets, work, top, each) for each in ranges),
        *(partial(lists_of_new_users, work, top, each) for each in active),
    ]
    with pq.ParquetWriter(file, BEST_ITEMS) as writer:
        return _written(writer, engine.map(_called, parts, progress))


@store_step
def make_item_lists(work: ListWork, items: int, engine: Engine, file: Path, progress: StepProgress) -> int:
    """Make and write a list for each of a generation's items that may be shown; return how many."""
    parts = [range(start, min(start + ITEMS, items)) for start in range(0, items, ITEMS)]
    with pq.ParquetWriter(file, SIMILAR_ITEMS) as writer:
        return _written(writer, engine.map(partial(lists_of_items, work), parts, progress))


def in_parts(users: Sequence[str]) -> list[Sequence[str]]:
    """Users in parts of USERS."""
    return [users[start : start + USERS] for start in range(0, len(users), USERS)]


def _called(part: Callable[[], MadeLists]) -> MadeLists:
    return part()


def _written(writer: pq.ParquetWriter, parts: Iterable[MadeLists]) -> int:
    """The number of lists of all parts, whose rows are written in the order of the parts."""
    made = 0
    for part in parts:
        made += part.made
        if len(part.table):
            writer.write_table(part.table)
    return made
