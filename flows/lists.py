"""Lists for everyone (`batch`) and for those who did something (`refresh`), and what is trending.

Killed at any moment they leave lists that are whole: each user's is one field, and what was not done is done next time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.export_lists import ListExport
from flows.publish import lost_the_store
from recsys import soundness
from recsys.cache import GenerationCache
from recsys.environment import Environment
from recsys.errors import NoGeneration
from recsys.lists import ListMaker, Past
from recsys.record import UserRecord
from recsys.rules import RulesFile
from recsys.store.base import IMPRESSION, LIVE, FlowStore, GenerationStore, LoggedEvent, Trending
from recsys.store.connect import open_store
from recsys.trending import WINDOW_SECONDS, trending
from recsys.trial import load_ranker, load_retriever
from recsys.user_list import UserList
from training.watch import Progress, Watch

CHUNK = 512
"""Users whose lists are made and written together."""


@dataclass(frozen=True)
class Listed:
    """What a flow made. lists: users; parquet: where everyone's best stand, of `batch`."""

    generation: str
    lists: int
    trending: int
    seconds: float
    parquet: Path | None = None
    superseded_by: str | None = None


@flow(name="batch", validate_parameters=False)
def batch(top: int, rules: Path, watch: Watch) -> Listed:
    """A list for every user that the live generation or the store knows, and everyone's best as Parquet."""
    start, environment = time.monotonic(), Environment.read()
    with open_store(environment) as opened:
        generations, store = opened.generations(), opened.flows()
        maker = load(environment, generations)
        now = time.time()
        log = read_log(store)
        hot = follow_trend(store, log, now)
        with ListExport(environment, maker, RulesFile(rules).current, top, now) as export, watch("lists") as progress:
            made = list_everybody(maker, store, log, export, now, progress)
        live = generations.alias(LIVE)
    superseded = live if live != maker.manifest.id else None
    return Listed(maker.manifest.id, made, hot, time.monotonic() - start, export.path, superseded)


@flow(name="refresh", validate_parameters=False)
def refresh(watch: Watch) -> Listed:
    """New lists for those who did something since the last time, and what is trending."""
    start, environment = time.monotonic(), Environment.read()
    with open_store(environment) as opened:
        generations, store = opened.generations(), opened.flows()
        cursor = Cursor(environment.home / "refresh.json", live_of(generations))
        new = read_log(store, cursor.read())
        now = time.time()
        hot = follow_trend(store, read_log(store), now) if new else 0
        users = list(
            dict.fromkeys(str(logged.event.user_id) for logged in new if logged.event.event_type != IMPRESSION)
        )
        made = 0
        if users:
            maker = load(environment, generations)
            with watch("lists") as progress:
                made = list_some(maker, store, users, now, progress)
        if new:
            cursor.write(new[-1].entry)  # last: killed before, the same users are done once more
    return Listed(cursor.generation, made, hot, time.monotonic() - start)


def active(log: Iterable[LoggedEvent]) -> list[str]:
    """Users who did something, in the order in which they first did."""
    return list(dict.fromkeys(str(each.event.user_id) for each in log if each.event.event_type != IMPRESSION))


@dataclass(frozen=True)
class Cursor:
    """How far `refresh` has read the log for a generation; another generation's lists begin with the log."""

    path: Path
    generation: str

    def read(self) -> str:
        """The last entry that was done; empty for none."""
        try:
            told = json.loads(self.path.read_text(encoding="utf-8"))
            return str(told["entry"]) if told["generation"] == self.generation else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def write(self, entry: str) -> None:
        """Remember that everything up to an entry is done."""
        scratch = self.path.with_suffix(".new")
        scratch.write_text(json.dumps({"generation": self.generation, "entry": entry}), encoding="utf-8")
        scratch.replace(self.path)


def live_of(generations: GenerationStore) -> str:
    """The live generation; NoGeneration where there is none."""
    live = generations.alias(LIVE)
    if live is None:
        raise NoGeneration("No generation is live yet. Train one: python -m flows run --data DIR.")
    return live


@task(cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[1, 2, 5], retry_condition_fn=lost_the_store)
def load(environment: Environment, generations: GenerationStore) -> ListMaker:
    """What makes lists in the live generation."""
    cache = GenerationCache(environment.folder("cache"), generations, soundness.check)
    folder = cache.fetch(live_of(generations))
    return ListMaker(folder.manifest, folder.tables(), folder.spec(), load_retriever(folder), load_ranker(folder))


@task(cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[1, 2, 5], retry_condition_fn=lost_the_store)
def read_log(store: FlowStore, after: str = "") -> list[LoggedEvent]:
    """All logged events after an entry."""
    found: list[LoggedEvent] = []
    while some := store.read_log(found[-1].entry if found else after, 10_000):
        found += some
    return found


@task(cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[1, 2, 5], retry_condition_fn=lost_the_store)
def follow_trend(store: FlowStore, log: Sequence[LoggedEvent], now: float) -> int:
    """Replace what is trending; how many items are."""
    recent = (each.event for each in log if each.arrived >= now - WINDOW_SECONDS)
    found = trending((event for event in recent if event.event_type != IMPRESSION), now)
    store.write_trending(Trending(now, found))
    return len(found)


@task(cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[1, 2, 5], retry_condition_fn=lost_the_store)
def list_some(maker: ListMaker, store: FlowStore, users: Sequence[str], now: float, progress: Progress) -> int:
    """Lists for some users; how many."""
    buckets = maker.manifest.user_buckets
    for start in range(0, len(users), CHUNK):
        some = users[start : start + CHUNK]
        records = store.read_records(maker.manifest.id, buckets, some)
        _write(maker, store, dict(zip(some, records, strict=True)), now)
        progress(min(1.0, (start + CHUNK) / len(users)), f"{min(len(users), start + CHUNK):,} users")
    return len(users)


@task(cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[1, 2, 5], retry_condition_fn=lost_the_store)
def list_everybody(
    maker: ListMaker,
    store: FlowStore,
    log: Sequence[LoggedEvent],
    export: ListExport,
    now: float,
    progress: Progress,
) -> int:
    """Lists for all users of the generation, and for those known by what they did since alone; how many."""
    done: set[str] = set()
    export.begin()
    for share, records in _everybody(maker, store, log, done):
        for user, past, made in _write(maker, store, records, now):
            export.add(user, past, made)
        done |= records.keys()
        progress(share, f"{len(done):,} users")
    return len(done)


def _everybody(
    maker: ListMaker, store: FlowStore, log: Iterable[LoggedEvent], done: set[str]
) -> Iterator[tuple[float, dict[str, bytes | None]]]:
    """All users, some at a time, with their records, and the share that is done with them."""
    buckets = maker.manifest.user_buckets
    for bucket in range(buckets):
        yield (bucket + 1) / (buckets + 1), dict(store.read_bucket(maker.manifest.id, bucket))
    new = [user for user in active(log) if user not in done]
    for start in range(0, len(new), CHUNK):
        yield 1.0, dict.fromkeys(new[start : start + CHUNK])


def _write(
    maker: ListMaker, store: FlowStore, records: dict[str, bytes | None], now: float
) -> list[tuple[str, Past, UserList]]:
    """Make and write the lists of users with these records."""
    users = list(records)
    events = store.read_events(users)
    pasts = [(_record(record), told) for record, told in zip(records.values(), events, strict=True)]
    lists = maker.make(pasts, now)
    packed = {user: made.pack() for user, made in zip(users, lists, strict=True)}
    store.write_lists(maker.manifest.id, maker.manifest.user_buckets, packed)
    return list(zip(users, pasts, lists, strict=True))


def _record(packed: bytes | None) -> UserRecord:
    """A user's record; one that is damaged is that of a stranger, as in serving."""
    try:
        return UserRecord.unpack(packed)
    except ValueError:
        return UserRecord.empty()
