"""The steps of `batch` and `refresh`: what they read, the lists they make, what they write.

Only the store is retried; what a step writes it may write once more. No step takes a log: Prefect looks at every
element of an argument.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from flows.orchestration import store_step
from flows.steps.list_export import ListExport
from recsys.environment import Environment
from recsys.errors import NOTHING_LIVE, NoGeneration
from recsys.fresh_items.catalogue_changes import CatalogueChanges
from recsys.fresh_items.put_items import NOTHING_PUT
from recsys.generation import content_checks
from recsys.generation.cache import GenerationCache
from recsys.generation.loader import load_ranker, load_retriever
from recsys.generation.manifest import GenerationFolder
from recsys.lists.list_maker import ListMaker, UserData
from recsys.lists.trending_items import WINDOW_SECONDS, trending_items
from recsys.lists.user_list import UserList
from recsys.lists.user_record import UserRecord
from recsys.model.feature_spec import FeatureSpec
from recsys.rules import Rules
from recsys.store.flow_port import FlowStore
from recsys.store.item_port import ItemReader
from recsys.store.ports import LIVE, GenerationStore, Trending
from recsys.store.streams import Cursor, LoggedEvent
from training.progress import StepProgress

AT_ONCE = 10_000
"""Logged events read together."""

CHUNK = 512
"""Users whose lists are made and written together."""


def live_of(generations: GenerationStore) -> str:
    """The live generation; NoGeneration where there is none."""
    live = generations.alias(LIVE)
    if live is None:
        raise NoGeneration(NOTHING_LIVE)
    return live


def logged(store: FlowStore, after: str = "") -> Iterator[LoggedEvent]:
    """All logged events after an entry."""
    while some := store.read_log(after, AT_ONCE):
        yield from some
        after = some[-1].entry


@dataclass(frozen=True, slots=True)
class Active:
    """Users who need new lists, and how far the log was read; None where no event was ever logged.

    lost: events that the log's limits removed before they were read. The users are then all users with stored events,
    because nothing says whose events these were.
    """

    users: list[str]
    cursor: Cursor | None
    lost: int = 0


def active(store: FlowStore, spec: FeatureSpec, after: Cursor | None = None) -> Active:
    """Users with an event after the cursor, in the order of their first such event.

    Events of types that are not part of a history do not count.
    """
    users: dict[str, None] = {}
    last, lost = None, 0
    for each in logged(store, after.entry if after else ""):
        if after and last is None:
            lost = _lost(store, after, each)
        last = each
        if spec.type_row(each.event.event_type) is not None:
            users[str(each.event.user_id)] = None
    cursor = Cursor(last.entry, last.number) if last else after
    return Active(store.active_users() if lost else [*users], cursor, lost)


def _lost(store: FlowStore, cursor: Cursor, first: LoggedEvent) -> int:
    """How many events between the cursor and the first event after it the log's limits removed.

    Limits remove the oldest events first. So they removed none of these where an older event is still in the log: then
    the events that are missing are those of deleted users. Events of earlier versions have no number.
    """
    missing = first.number - cursor.number - 1
    if missing <= 0 or not cursor.number:
        return 0
    oldest = store.read_log(count=1)
    return missing if oldest and oldest[0].number > cursor.number else 0


@store_step
def fetch(generation: str, environment: Environment, generations: GenerationStore) -> GenerationFolder:
    """A generation's folder on this host."""
    return GenerationCache(environment.folder("cache"), generations, content_checks.check).fetch(generation)


@store_step
def load(folder: GenerationFolder, items: ItemReader, rules: Rules) -> ListMaker:
    """What makes lists in a generation, as its items are now."""
    manifest, tables, puts = folder.manifest, folder.tables(), items.changes(NOTHING_PUT)
    fresh = CatalogueChanges.of(puts, tables.ids.rows_of, tables.available, manifest.data_end)
    return ListMaker(
        manifest,
        tables,
        folder.spec(),
        load_retriever(folder),
        load_ranker(folder),
        rules,
        fresh if len(puts) else None,
    )


@store_step
def read_active(store: FlowStore, folder: GenerationFolder) -> Active:
    """Users who need new lists in a generation."""
    return active(store, folder.spec(), store.read_cursor(folder.manifest.id))


@store_step
def follow_trend(store: FlowStore, folder: GenerationFolder) -> Trending:
    """Replace what is trending, by the meaning that event types have in a generation and by the store's clock."""
    now = store.now()
    recent = (each.event for each in logged(store, f"{int((now - WINDOW_SECONDS) * 1000)}-0"))
    found = Trending(now, trending_items(recent, now, folder.spec()))
    store.write_trending(found)
    return found


@store_step
def list_some(
    maker: ListMaker,
    generations: GenerationStore,
    store: FlowStore,
    users: Sequence[str],
    now: float,
    progress: StepProgress,
) -> int:
    """Lists for some users; how many."""
    made = 0
    for start in range(0, len(users), CHUNK):
        some = users[start : start + CHUNK]
        made += len(_write(maker, store, _records(maker, generations, some), now))
        progress.update(min(1.0, (start + CHUNK) / len(users)), f"{made:,} users")
    return made


@store_step
def list_everybody(
    maker: ListMaker,
    generations: GenerationStore,
    store: FlowStore,
    export: ListExport,
    now: float,
    progress: StepProgress,
) -> int:
    """Lists for all users of the generation, and for those known by what they did since alone; how many."""
    made = 0
    export.begin()
    for share, records in _everybody(maker, generations, store):
        for user, past, of_user in _write(maker, store, records, now):
            export.add(user, past, of_user)
            made += 1
        progress.update(share, f"{made:,} users")
    return made


def _everybody(
    maker: ListMaker, generations: GenerationStore, store: FlowStore
) -> Iterator[tuple[float, Mapping[str, bytes | None]]]:
    """All users, some at a time, with their records, and the share that is done with them."""
    buckets = maker.manifest.user_buckets
    for bucket in range(buckets):
        yield (bucket + 1) / (buckets + 1), store.read_bucket(maker.manifest.id, bucket)
    users = store.active_users()  # not those of the log, which keeps events for a day
    for start in range(0, len(users), CHUNK):
        records = _records(maker, generations, users[start : start + CHUNK])
        yield 1.0, {user: None for user, record in records.items() if record is None}


def _records(maker: ListMaker, generations: GenerationStore, users: Sequence[str]) -> dict[str, bytes | None]:
    found = generations.read_records(maker.manifest.id, maker.manifest.user_buckets, users)
    return dict(zip(users, found, strict=True))


def _write(
    maker: ListMaker, store: FlowStore, records: Mapping[str, bytes | None], now: float
) -> list[tuple[str, UserData, UserList]]:
    """Make and write the lists of users with these records; of whom nothing is known any more there is none."""
    events = zip(records.items(), store.read_events([*records]), strict=True)
    pasts = {user: (_record(record), told) for (user, record), told in events if record is not None or told}
    lists = dict(zip(pasts, maker.make([*pasts.values()], now), strict=True))
    packed = {user: made.pack() for user, made in lists.items()}
    store.write_lists(maker.manifest.id, maker.manifest.user_buckets, packed)
    return [(user, pasts[user], made) for user, made in lists.items()]


def _record(packed: bytes | None) -> UserRecord:
    """A user's record; one that is damaged is that of a stranger, as in serving."""
    try:
        return UserRecord.unpack(packed)
    except ValueError:
        return UserRecord.empty()
