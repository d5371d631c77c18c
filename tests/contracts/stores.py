"""Stores for the contract tests, and the data that they write."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from recsys.experiments.definition import Arm, Definition
from recsys.experiments.document import Experiment, ExperimentsDocument
from recsys.fresh_items.put_items import Put
from recsys.generation.manifest import Manifest, Part
from recsys.store import RedisFlowStore, RedisGenerationStore, RedisUserStore, UserState
from recsys.store.redis.generation_store import ALIASES_CHANNEL
from recsys.store.redis.item_store import RedisItemReader, RedisItemWriter
from recsys.store.redis.redis_experiments import RedisExperimentStore
from recsys.store.redis.redis_registry import RedisProcessRegistry
from recsys.store.stored_types import CHUNK, IMPRESSION_LIMITS, LOG_LIMITS, Claim, StreamLimits
from recsys.types import Event

USERS, CATALOGUE = 1_500, 700
LONG = 1e12
"""The age limit of events, for tests whose timestamps are small numbers."""
SMALL = {"small": 5, "two": CHUNK + 1}
SIZES = {"empty": 0, "small": 5, "chunk": CHUNK, "chunk_and_one": CHUNK + 1, "several": 3 * CHUNK + 77}


@dataclass
class Store:
    """One store: its clients, functions that open those for one event loop, and a plain client.

    ring: announces that an alias moved.
    """

    generations: Any
    flows: Any
    items: Any
    registry: Any
    open_users: Callable[[], Any]
    open_items: Callable[[], Any]
    ring: Callable[[], Any]
    client: Any = None
    url: str = ""
    experiments: Any = None

    def users(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """Run `work` with the user store in a new event loop."""
        return asyncio.run(_closing(self.open_users, work))

    def put(self, *puts: Put) -> bool:
        """Put items."""
        return bool(self.write_items(lambda writer: writer.put(puts)))

    def write_items(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """Run `work` with the writer of items in a new event loop."""
        return asyncio.run(_closing(self.open_items, work))

    def read(self, generation: str, *users: str | int, variant: str = "") -> list[UserState]:
        buckets = manifest(generation).user_buckets
        return self.users(lambda store: store.read_users(generation, buckets, users, variant))

    def read_similar(self, generation: str, *rows: int) -> list[bytes | None]:
        """The list of similar items of each row."""
        return [self.users(lambda store, row=row: store.read_similar(generation, row)) for row in rows]

    def add(self, *events: Event) -> int:
        added: int = self.users(lambda store: store.add_events(events))
        return added

    def publish(self, generation: str, records: dict[str, bytes] | None = None) -> Manifest:
        """Write a complete generation, its manifest last."""
        whole = manifest(generation)
        for name, size in SIZES.items():
            self.generations.write_part(generation, name, content(size))
        self.generations.write_users(generation, whole.user_buckets, records or {"7": b"record"})
        self.generations.write_manifest(generation, whole.to_json())
        return whole


def opened(
    request: pytest.FixtureRequest, log: StreamLimits = LOG_LIMITS, impressions: StreamLimits = IMPRESSION_LIMITS
) -> Iterator[Store]:
    """The empty store that the parameter of a fixture names."""
    url = request.getfixturevalue("own_valkey_url" if request.param == "valkey" else "own_redis_url")
    clients = [RedisGenerationStore(url), RedisFlowStore(url, LONG), RedisItemReader(url), RedisProcessRegistry(url)]
    experiments = RedisExperimentStore(url)
    with redis.Redis.from_url(url) as client:
        client.flushall()
        yield Store(
            *clients,
            open_users=lambda: RedisUserStore(url, LONG, log, impressions),
            open_items=lambda: RedisItemWriter(url),
            experiments=experiments,
            ring=lambda: client.publish(ALIASES_CHANNEL, "live g2"),
            client=client,
            url=url,
        )
    for each in (*clients, experiments):
        each.close()


async def _closing(make: Callable[[], Any], work: Callable[[Any], Awaitable[Any]]) -> Any:
    store = make()
    try:
        return await work(store)
    finally:
        await store.close()


@contextmanager
def user_of(store: Store, name: str, *rights: str) -> Iterator[str]:
    """The URL of a Redis user with these rights, in the syntax of ACL SETUSER. The user is deleted afterwards."""
    rules = ["reset", "on", ">secret", *rights]
    store.client.execute_command("ACL", "SETUSER", name, *rules)
    try:
        kind, rest = store.url.split("://", 1)
        yield f"{kind}://{name}:secret@{rest}"
    finally:
        store.client.acl_deluser(name)


def is_notified(registry: Any, ring: Callable[[], Any]) -> bool:
    """Whether a moved alias ends a wait."""
    registry.wait(5)  # subscribes
    ring()
    start = time.monotonic()
    registry.wait(5)
    return time.monotonic() - start < 4


def click(item: str, at: float = 1.0, name: str = "", user: str = "7", kind: str = "click") -> Event:
    """An event, by default of user 7. name: its id."""
    return Event(user, item, at, kind, name)


def content(size: int) -> bytes:
    """Reproducible bytes without two equal chunks."""
    return hashlib.shake_128(b"part").digest(size)


def manifest(generation: str) -> Manifest:
    """The manifest of the generation that `Store.publish` writes."""
    parts = {name: Part(hashlib.sha256(content(size)).hexdigest(), size) for name, size in SIZES.items()}
    return Manifest(generation, 0.0, "test", parts, {"users": USERS, "items": CATALOGUE})


def of_generation(generation: str, ramp: float = 0.0) -> ExperimentsDocument:
    """A document with the running experiment `test`, whose arm `new` has a generation."""
    definition = Definition(name="test", arms={"new": Arm(share=0.5, generation=generation)})
    return ExperimentsDocument(experiments={"test": Experiment(definition=definition, status="running", ramp=ramp)})


def keys(store: Store) -> set[str]:
    """All keys of a store except its two counters."""
    return {key.decode() for key in store.client.keys("*")} - {"fence", "promoted"}


def small_manifest(generation: str) -> Manifest:
    """The manifest of a generation of a few keys, which `write_small` writes."""
    return Manifest(generation, 0.0, "test", {name: Part("", size) for name, size in SMALL.items()}, {"users": 2})


def write_small(store: Any, generation: str, claim: Claim | None = None) -> None:
    """Write a generation without its manifest."""
    for name, size in SMALL.items():
        store.write_part(generation, name, b"x" * size, claim=claim)
    store.write_users(generation, 1, {"a": b"of a", "b": b"of b"}, claim)


def finish_small(store: Any, generation: str, claim: Claim | None = None) -> None:
    store.write_manifest(generation, small_manifest(generation).to_json(), claim)


def publish_small(store: Any, *names: str) -> None:
    for generation in names:
        claim = store.claim(generation, 1)
        write_small(store, generation, claim)
        finish_small(store, generation, claim)
        store.release(claim)
