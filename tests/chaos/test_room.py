"""Tests of room in Redis: publishing models checks the free memory first, and keeps the live models if it runs out."""

from __future__ import annotations

import pytest

from recsys.errors import GenerationError, StoreFull
from recsys.generation.cache import GenerationCache
from recsys.generation.publisher import Publisher
from recsys.store import RedisGenerationStore
from recsys.store.needed_memory import mebibytes, predict
from recsys.store.stored_types import LIVE
from tests.chaos.publishing_world import PublishingWorld


def test_the_predicted_memory_is_right(world: PublishingWorld) -> None:
    """The prediction from the manifest is within 15 % of the growth of the server's memory."""
    folder = world.make("g1", items=20_000, users=10_000, record=1_200)
    world.make("g0", 100, 10)
    world.publish("g0")  # the first script takes memory that belongs to no generation
    before = world.used()
    store = RedisGenerationStore(world.url)
    Publisher(store, world.home).publish(folder)
    store.close()
    taken = world.used() - before
    assert predict(folder.manifest) == pytest.approx(taken, rel=0.15)


def test_over_the_budget_nothing_is_written(world: PublishingWorld) -> None:
    """The error has both figures and the fix. Other generations count; stored parts of this generation do not."""
    world.make("g1", 20_000, 100)
    world.publish("g1")
    size = predict(world.folder("g1").manifest)
    folder = world.make("g2", 20_001, 100)
    before = set(world.client.keys("*"))
    tight = Publisher(world.store, world.home, budget=int(1.5 * size))
    needed, budget = mebibytes(size), mebibytes(1.5 * size)
    with pytest.raises(StoreFull, match=rf"would take {needed} .+_BUDGET is {budget}, .+ take .+delete"):
        tight.publish(folder)
    assert set(world.client.keys("*")) == before
    wide = Publisher(world.store, world.home, budget=int(2.1 * size))
    for _ in range(2):
        wide.publish(folder)


def test_over_maxmemory_nothing_is_written(world: PublishingWorld) -> None:
    """The server's free memory is read before the first write."""
    world.make("g1", 100, 10)
    world.publish("g1")
    folder = world.make("g2", 20_000, 100)
    world.limit("noeviction", 2 << 20)
    before = set(world.client.keys("*"))
    with pytest.raises(StoreFull, match=r"would take 7\.\d MiB more .+ left of its maxmemory .+delete"):
        Publisher(world.store, world.home).publish(folder)
    assert set(world.client.keys("*")) == before


def test_a_server_that_fills_up_keeps_the_live_generation(
    world: PublishingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server does not report its limit and refuses a write: the written part is deleted, and live is whole."""
    world.make("g1", 100, 10)
    world.publish("g1")
    folder = world.make("g2", 60_000, 100)
    monkeypatch.setattr(world.store, "memory_use", lambda: None)
    world.limit("noeviction", 4 << 20)
    with pytest.raises(StoreFull, match=r"is full\. Raise its maxmemory, or delete generations"):
        Publisher(world.store, world.home).publish(folder)
    assert world.client.keys("gen:g2:*") == []
    assert world.client.get("publishing") is None
    world.check_whole("g1")
    assert world.alias(LIVE) == "g1"


def test_a_server_that_evicts_gets_no_part_of_a_generation(
    world: PublishingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks are evicted while others are written: the publish is refused, and the generation cannot go live."""
    world.make("g1", 100, 10)
    world.publish("g1")
    folder = world.make("g2", 60_000, 100)
    monkeypatch.setattr(world.store, "memory_use", lambda: None)
    world.limit("allkeys-lru", 4 << 20)
    with pytest.raises((GenerationError, StoreFull), match=r"lacks chunk|not whole|is full|paused for longer"):
        Publisher(world.store, world.home).publish(folder)
    assert world.store.read_manifest("g2") is None
    with pytest.raises(GenerationError):
        world.store.promote("g2")


def test_a_chunk_evicted_later_is_refused_by_the_loader(world: PublishingWorld) -> None:
    """A generation that lost a chunk is not loaded; after a second publish it is whole."""
    folder = world.make("g1", 5_000, 10)
    world.publish("g1")
    world.client.delete("gen:g1:part:embeddings.npy:1")
    cache = GenerationCache(world.home / "cache", world.store)
    with pytest.raises(GenerationError, match=r"embeddings\.npy of generation g1 lacks chunk 1"):
        cache.fetch("g1")
    Publisher(world.store, world.home).publish(folder)
    assert cache.fetch("g1").verify()
    assert world.client.ttl("gen:g1:part:embeddings.npy:1") == -1
