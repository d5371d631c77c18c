"""Every store there is, for suites that hold of all of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from recsys.generation.manifest import Manifest, Part
from recsys.store import (
    FlowStore,
    GenerationStore,
    MemoryStore,
    RedisFlowStore,
    RedisGenerationStore,
    RedisUserStore,
    UserState,
    UserStore,
)
from recsys.store.ports import CHUNK
from recsys.store.streams import IMPRESSION_LIMITS, LOG_LIMITS, StreamLimits
from recsys.types import Event

USERS = 1_500
LONG = 1e12
"""Seconds an event counts for, in tests whose times are small numbers."""
SIZES = {"empty": 0, "small": 5, "chunk": CHUNK, "chunk_and_one": CHUNK + 1, "several": 3 * CHUNK + 77}


@dataclass
class Store:
    """One of the stores: its sync port, a way to its async one, and a client to look behind both (None: the fake)."""

    generations: GenerationStore
    open_users: Callable[[], UserStore]
    flows: FlowStore
    client: Any
    url: str = ""

    def users(self, work: Callable[[UserStore], Awaitable[Any]]) -> Any:
        """Do `work` with the user store, in a loop of its own."""

        async def with_store() -> Any:
            store = self.open_users()
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(with_store())

    def read(self, generation: str, *users: str | int) -> list[UserState]:
        return self.users(lambda store: store.read_users(generation, manifest(generation).user_buckets, users))

    def add(self, *events: Event) -> int:
        added: int = self.users(lambda store: store.add_events(events))
        return added

    def publish(self, generation: str, records: dict[str, bytes] | None = None) -> Manifest:
        """A whole generation, its manifest last."""
        whole = manifest(generation)
        for name, size in SIZES.items():
            self.generations.write_part(generation, name, content(size))
        self.generations.write_users(generation, whole.user_buckets, records or {"7": b"record"})
        self.generations.write_manifest(generation, whole.to_json())
        return whole


def opened(
    request: pytest.FixtureRequest, log: StreamLimits = LOG_LIMITS, impressions: StreamLimits = IMPRESSION_LIMITS
) -> Iterator[Store]:
    """The store a parameter names, empty."""
    if request.param == "memory":
        memory = MemoryStore(LONG, log, impressions)
        yield Store(memory, lambda: memory, memory, None)
        return
    url = request.getfixturevalue("own_valkey_url" if request.param == "valkey" else "own_redis_url")
    generations = RedisGenerationStore(url)
    with redis.Redis.from_url(url) as client:
        client.flushall()
        flows = RedisFlowStore(url, LONG)
        yield Store(generations, lambda: RedisUserStore(url, LONG, log, impressions), flows, client, url)
        flows.close()
    generations.close()


@contextmanager
def user_of(real: Store, name: str, *rights: str) -> Iterator[str]:
    """The URL of a user with these rights, in the words of ACL SETUSER; gone afterwards."""
    rules = ["reset", "on", ">secret", *rights]
    real.client.execute_command("ACL", "SETUSER", name, *rules)
    try:
        kind, rest = real.url.split("://", 1)
        yield f"{kind}://{name}:secret@{rest}"
    finally:
        real.client.acl_deluser(name)


def click(item: str, at: float = 1.0, name: str = "", user: str = "7", kind: str = "click") -> Event:
    """An event of user 7, unless another is named; name: its id."""
    return Event(user, item, at, kind, name)


def content(size: int) -> bytes:
    """So many bytes, the same every time, no two chunks alike."""
    return hashlib.shake_128(b"part").digest(size)


def manifest(generation: str) -> Manifest:
    """The manifest of what `Store.publish` writes."""
    parts = {name: Part(hashlib.sha256(content(size)).hexdigest(), size) for name, size in SIZES.items()}
    return Manifest(generation, 0.0, "test", parts, {"users": USERS})


def keys(store: Store) -> set[str]:
    """Every key in a real store but its two counters."""
    return {key.decode() for key in store.client.keys("*")} - {"fence", "promoted"}
