"""The steps of `batch` and `refresh`: what they read, the lists they make, what they write.

Only the store is retried; what a step writes it may write once more. No step takes a log: Prefect looks at every
element of an argument.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.export_lists import ListExport
from flows.publish import lost_the_store
from recsys import soundness
from recsys.cache import GenerationCache
from recsys.environment import Environment
from recsys.errors import NOTHING_LIVE, NoGeneration
from recsys.generation import GenerationFolder
from recsys.items import NOTHING_PUT
from recsys.list_maker import ListMaker, Past
from recsys.record import UserRecord
from recsys.rules import Rules
from recsys.segment import FreshSegment
from recsys.spec import FeatureSpec
from recsys.store.base import LIVE, FlowStore, GenerationStore, LoggedEvent, Trending
from recsys.store.items import ItemReader
from recsys.trending import WINDOW_SECONDS, trending
from recsys.trial import load_ranker, load_retriever
from recsys.user_list import UserList
from training.watch import Progress

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


def active(store: FlowStore, spec: FeatureSpec, after: str = "") -> tuple[list[str], str]:
    """Users with an event after an entry, in the order of their first such event, and the last entry there is.

    Events of types that are not part of a history do not count.
    """
    users: dict[str, None] = {}
    for each in logged(store, after):
        after = each.entry
        if spec.type_row(each.event.event_type) is not None:
            users[str(each.event.user_id)] = None
    return list(users), after


@task(cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[1, 2, 5], retry_condition_fn=lost_the_store)
def fetch(generation: str, environment: Environment, generations: GenerationStore) -> GenerationFolder:
    """A generation's folder on this host."""
    return GenerationCache(environment.folder("cache"), generations, soundness.check).fetch(generation)


@task(cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[1, 2, 5], retry_condition_fn=lost_the_store)
def load(folder: GenerationFolder, items: ItemReader, rules: Rules) -> ListMaker:
    """What makes lists in a generation, as its items are now."""
    manifest, tables, puts = folder.manifest, folder.tables(), items.changes(NOTHING_PUT)
    known = tables.ids.rows
    fresh = FreshSegment.of(puts, lambda texts: [*map(known.get, texts)], tables.available, manifest.data_end)
    return ListMaker(
        manifest,
        tables,
        folder.spec(),
        load_retriever(folder),
        load_ranker(folder),
        rules,
        fresh if len(puts) else None,
    )


@task(cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[1, 2, 5], retry_condition_fn=lost_the_store)
def read_active(store: FlowStore, folder: GenerationFolder, after: str) -> tuple[list[str], str]:
    """`active`, as a step of its own."""
    return active(store, folder.spec(), after)


@task(cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[1, 2, 5], retry_condition_fn=lost_the_store)
def follow_trend(store: FlowStore, folder: GenerationFolder, now: float) -> Trending:
    """Replace what is trending, by the meaning that event types have in a generation."""
    recent = (each.event for each in logged(store, f"{int((now - WINDOW_SECONDS) * 1000)}-0"))
    found = Trending(now, trending(recent, now, folder.spec()))
    store.write_trending(found)
    return found


@task(cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[1, 2, 5], retry_condition_fn=lost_the_store)
def list_some(
    maker: ListMaker,
    generations: GenerationStore,
    store: FlowStore,
    users: Sequence[str],
    now: float,
    progress: Progress,
) -> int:
    """Lists for some users; how many."""
    made = 0
    for start in range(0, len(users), CHUNK):
        some = users[start : start + CHUNK]
        made += len(_write(maker, store, _records(maker, generations, some), now))
        progress(min(1.0, (start + CHUNK) / len(users)), f"{made:,} users")
    return made


@task(cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[1, 2, 5], retry_condition_fn=lost_the_store)
def list_everybody(
    maker: ListMaker,
    generations: GenerationStore,
    store: FlowStore,
    export: ListExport,
    now: float,
    progress: Progress,
) -> int:
    """Lists for all users of the generation, and for those known by what they did since alone; how many."""
    made = 0
    export.begin()
    for share, records in _everybody(maker, generations, store):
        for user, past, of_user in _write(maker, store, records, now):
            export.add(user, past, of_user)
            made += 1
        progress(share, f"{made:,} users")
    return made


def _everybody(
    maker: ListMaker, generations: GenerationStore, store: FlowStore
) -> Iterator[tuple[float, Mapping[str, bytes | None]]]:
    """All users, some at a time, with their records, and the share that is done with them."""
    buckets = maker.manifest.user_buckets
    for bucket in range(buckets):
        yield (bucket + 1) / (buckets + 1), store.read_bucket(maker.manifest.id, bucket)
    users, _ = active(store, maker.spec)
    for start in range(0, len(users), CHUNK):
        records = _records(maker, generations, users[start : start + CHUNK])
        yield 1.0, {user: None for user, record in records.items() if record is None}


def _records(maker: ListMaker, generations: GenerationStore, users: Sequence[str]) -> dict[str, bytes | None]:
    found = generations.read_records(maker.manifest.id, maker.manifest.user_buckets, users)
    return dict(zip(users, found, strict=True))


def _write(
    maker: ListMaker, store: FlowStore, records: Mapping[str, bytes | None], now: float
) -> list[tuple[str, Past, UserList]]:
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
