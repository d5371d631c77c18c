"""Make recommendation lists for users ahead of requests: the steps of the Prefect flows `batch` and `refresh`.

The steps read users and events from the store, and write lists and trending items to it. A step may run again after an
error of the store: its writes can be repeated. No step takes a log of events as an argument, because Prefect inspects
every element of an argument.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

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
from recsys.store.from_environment import OpenStore
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.stored_types import LIVE, Cursor, LoggedEvent, Trending
from training.progress import StepProgress

AT_ONCE = 10_000
"""Logged events of one read."""

CHUNK = 512
"""Users of one batch of lists."""


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


@store_step
def fetch(generation: str, environment: Environment, generations: RedisGenerationStore) -> GenerationFolder:
    """The folder of a generation on this host."""
    return GenerationCache(environment.folder("cache"), generations, content_checks.check).fetch(generation)


@store_step
def load_list_maker(folder: GenerationFolder, store: OpenStore, rules: Rules) -> ListMaker:
    """A maker of lists from a generation, the items added since through PUT /items, and the counts of events."""
    manifest, tables, puts = folder.manifest, folder.tables(), store.items().changes(NOTHING_PUT)
    fresh = CatalogueChanges.of(puts, tables.ids.rows_of, tables.available, manifest.data_end)
    ranker = load_ranker(folder).with_counts(store.event_counts())
    maker = ListMaker(manifest, tables, folder.spec(), load_retriever(folder), ranker, rules)
    return replace(maker, fresh=fresh) if len(puts) else maker


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
def make_lists(
    maker: ListMaker,
    generations: RedisGenerationStore,
    store: RedisFlowStore,
    users: Sequence[str],
    now: float,
    progress: StepProgress,
) -> int:
    """Make and write lists for some users; return how many."""
    made = 0
    for start in range(0, len(users), CHUNK):
        some = users[start : start + CHUNK]
        made += len(_write(maker, store, _records(maker, generations, some), now))
        progress(min(1.0, (start + CHUNK) / len(users)), f"{made:,} users")
    return made


@store_step
def make_all_lists(
    maker: ListMaker,
    generations: RedisGenerationStore,
    store: RedisFlowStore,
    export: ListExport,
    now: float,
    progress: StepProgress,
) -> int:
    """Make, write and export lists for all users of the generation and all users with events; return how many."""
    made = 0
    export.begin()
    for share, records in _all_users(maker, generations, store):
        for user, past, user_list in _write(maker, store, records, now):
            export.add(user, past, user_list)
            made += 1
        progress(share, f"{made:,} users")
    return made


def _all_users(
    maker: ListMaker, generations: RedisGenerationStore, store: RedisFlowStore
) -> Iterator[tuple[float, Mapping[str, bytes | None]]]:
    """The records of all users, some at a time, with the share of users that is done after them."""
    buckets = maker.manifest.user_buckets
    for bucket in range(buckets):
        yield (bucket + 1) / (buckets + 1), store.read_bucket(maker.manifest.id, bucket)
    users = store.active_users()  # not from the log, which keeps events for a day only
    for start in range(0, len(users), CHUNK):
        records = _records(maker, generations, users[start : start + CHUNK])
        yield 1.0, {user: None for user, record in records.items() if record is None}


def _records(maker: ListMaker, generations: RedisGenerationStore, users: Sequence[str]) -> dict[str, bytes | None]:
    found = generations.read_records(maker.manifest.id, maker.manifest.user_buckets, users)
    return dict(zip(users, found, strict=True))


def _write(
    maker: ListMaker, store: RedisFlowStore, records: Mapping[str, bytes | None], now: float
) -> list[tuple[str, UserData, UserList]]:
    """Make and write the lists of users with a record or events. Other users were deleted meanwhile."""
    events = zip(records.items(), store.read_events([*records]), strict=True)
    pasts = {user: (unpacked(record), history) for (user, record), history in events if record is not None or history}
    lists = dict(zip(pasts, maker.make([*pasts.values()], now), strict=True))
    packed = {user: made.pack() for user, made in lists.items()}
    store.write_lists(maker.manifest.id, maker.manifest.user_buckets, packed)
    return [(user, pasts[user], made) for user, made in lists.items()]


def unpacked(packed: bytes | None) -> UserRecord:
    """A user's record; an empty one if it is damaged, as in serving."""
    try:
        return UserRecord.unpack(packed)
    except ValueError:
        return UserRecord.empty()
