"""A failover of the store: after the primary dies, every kind of client reads and writes on the new primary."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from recsys.errors import StoreUnavailable
from recsys.fresh_items.put_items import NOTHING_PUT, Put
from recsys.store import RedisFlowStore, RedisGenerationStore, RedisUserStore
from recsys.store.process_registry import Announcement
from recsys.store.redis.item_store import RedisItemReader, RedisItemWriter
from recsys.store.redis.redis_experiments import RedisExperimentStore
from recsys.store.redis.redis_registry import RedisProcessRegistry
from recsys.store.stored_types import Trending
from tests.chaos.replication.replicated_store import MAX_LAG_SECONDS, SENTINEL_PASSWORD, SERVICE, ReplicatedStore
from tests.contracts.stores import Store, click, is_notified, manifest, of_generation
from tests.contracts.test_redis_tls import certificates
from tests.contracts.test_redis_users import MAKE
from tests.servers.debian_program import REDIS

T = TypeVar("T")

SECONDS = 20.0
"""The limit until clients work again; other tests run on the same cores."""


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[ReplicatedStore]:
    """A store with a failover, without TLS and users."""
    store = ReplicatedStore(tmp_path / "store")
    try:
        yield store.start()
    finally:
        store.stop()


@pytest.fixture(params=["plain", "TLS and users"])
def replicated(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[ReplicatedStore, dict[str, str]]]:
    """A store with a failover, and the URL of each role."""
    if request.param == "plain":
        store = ReplicatedStore(tmp_path / "store")
        urls = dict.fromkeys(("model", "gateway", "flows"), store.url)
    else:
        store, urls = _secured(tmp_path)
    try:
        store.start()
        yield store, urls
    finally:
        store.stop()


def _secured(folder: Path) -> tuple[ReplicatedStore, dict[str, str]]:
    """Servers and Sentinels with TLS, the users of `deploy/redis`, and a password of the Sentinels."""
    binary = REDIS.find()
    if binary is None or not shutil.which("openssl"):
        pytest.skip("needs a redis-server with TLS, and openssl")  # the embedded Valkey has none
    certificates(folder)
    store = ReplicatedStore(folder / "store", binary, folder)
    options = f"?ssl_ca_certs={folder}/ca.crt&sentinel_password={SENTINEL_PASSWORD}"
    subprocess.run([str(MAKE), str(folder), f"{store.places}/{SERVICE}", "rediss+sentinel", options], check=True)
    acl = folder / "users" / "users.acl"
    acl.chmod(0o644)
    acl.write_text(acl.read_text() + "user test on nopass ~* &* +@all\n")  # for the test itself
    return store, {name: (folder / name / "url").read_text().strip() for name in ("model", "gateway", "flows")}


def eventually(call: Callable[[], T]) -> T:
    """The result of a call, which is repeated while the store is away."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            return call()
        except StoreUnavailable:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


async def add_before_and_after(servers: ReplicatedStore, users: RedisUserStore) -> None:
    """Add an event, kill the primary, and add another event over the same client."""
    assert await users.add_events([click("a", time.time(), "e1")]) == 1
    await asyncio.sleep(0.5)  # both replicas have all
    servers.primary().kill()
    end = time.monotonic() + SECONDS
    while True:
        try:
            assert await users.add_events([click("b", time.time(), "e2")]) == 1
            return
        except StoreUnavailable:
            assert time.monotonic() < end
            await asyncio.sleep(0.05)


def test_every_client_follows_the_primary(replicated: tuple[ReplicatedStore, dict[str, str]]) -> None:
    """Generations, users, events, items, experiments and the registry, over connections that were open before."""
    servers, urls = replicated
    generations, flows = RedisGenerationStore(urls["flows"]), RedisFlowStore(urls["flows"])
    reader, registry = RedisItemReader(urls["model"]), RedisProcessRegistry(urls["model"])
    experiments, gateway = RedisExperimentStore(urls["flows"]), urls["gateway"]
    opened = (lambda: RedisUserStore(gateway)), (lambda: RedisItemWriter(gateway))
    ring = lambda: generations.promote("g1")  # noqa: E731
    store = Store(generations, flows, reader, registry, *opened, ring, experiments=experiments)

    store.publish("g1", {"7": b"record"})
    assert store.put(Put("before", title="Before"))
    known = reader.changes(NOTHING_PUT)
    experiments.change(lambda _: of_generation("g1"))
    assert is_notified(registry, store.ring)

    store.users(partial(add_before_and_after, servers))
    assert eventually(lambda: store.put(Put("after", title="After")))
    (state,) = eventually(lambda: store.read("g1", "7"))
    assert (state.record, [event.item_id for event in state.events]) == (b"record", ["a", "b"])
    assert {item.item_id for item in eventually(lambda: reader.changes(known)).items} == {"before", "after"}
    assert eventually(lambda: flows.read_log())[-1].event.item_id == "b"
    eventually(lambda: store.publish("g2"))
    assert eventually(lambda: generations.promote("g2")).previous == "g1"
    assert eventually(experiments.read).generations == {"g1"}
    registry.announce(Announcement("ranking here 1", "ranking", ("g1",)))
    assert is_notified(registry, store.ring)
    for each in (generations, flows, reader, registry, experiments):
        each.close()


def test_a_primary_without_replicas_accepts_no_writes(plain: ReplicatedStore) -> None:
    """So a failover loses acknowledged writes of MAX_LAG_SECONDS at most. Reads go on."""
    flows = RedisFlowStore(plain.url)
    primary = plain.primary()
    replicas = [server for server in plain.servers if server is not primary]
    for replica in replicas:
        replica.pause()
    time.sleep(MAX_LAG_SECONDS + 2)
    with pytest.raises(StoreUnavailable, match="accepts no writes until enough replicas follow it"):
        flows.write_trending(Trending(1.0, (("a", 1.0),)))
    assert flows.read_log() == []
    for replica in replicas:
        replica.resume()
    eventually(lambda: flows.write_trending(Trending(1.0, (("a", 1.0),))))
    flows.close()


def test_lost_writes_are_not_taken_for_later_ones(plain: ReplicatedStore) -> None:
    """A reader that has seen writes that a failover loses reads the later ones, which have the same numbers."""
    reader, experiments = RedisItemReader(plain.url), RedisExperimentStore(plain.url)
    other = RedisExperimentStore(plain.url)

    def put(item: str) -> None:
        async def scene() -> None:
            writer = RedisItemWriter(plain.url)
            try:
                await writer.put([Put(item)])
            finally:
                await writer.close()

        asyncio.run(scene())

    RedisGenerationStore(plain.url).write_manifest("g1", manifest("g1").to_json())
    put("before")
    with plain.without_replicas():
        put("lost")
        known = reader.changes(NOTHING_PUT)
        experiments.change(lambda _: of_generation("g1", 0.25))
        assert experiments.read().version == 1
        plain.primary().kill()
    assert eventually(lambda: len(reader.changes(known))) == 1
    eventually(lambda: put("after"))
    after = reader.changes(known)
    assert {item.item_id for item in after.items} == {"before", "after"}
    assert after.version == known.version
    assert not {item.seq for item in after.items if item.item_id == "after"} & {item.seq for item in known.items}
    changed = eventually(lambda: other.change(lambda _: of_generation("g1", 0.5)))
    assert changed.version == 1
    assert experiments.read() == changed
    for each in (reader, experiments, other):
        each.close()
