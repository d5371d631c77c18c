"""Put items after a new generation, without the store, and with a Redis user that may only read."""

import httpx
import pytest
import redis

from recsys.store.embedded_valkey import EmbeddedValkey
from recsys.store.redis.generation_store import RedisGenerationStore
from tests.sample_data import put_items, tiny
from tests.servers.deployment import Deployment
from tests.service.putting import comedy, poll, put, recommend


@pytest.fixture(scope="module")
def world(tiny_world, tmp_path_factory):
    """An embedded store, and a client of a deployment over it."""
    home = tmp_path_factory.mktemp("later")
    store = EmbeddedValkey(home / "store")
    url = store.ensure()
    tiny.publish(tiny_world[0], RedisGenerationStore(url))
    with (
        Deployment(home / "home", home / "log", REDIS_URL=url, TANDEM_TOPOLOGY="inline") as running,
        httpx.Client(base_url=running.url, timeout=30) as client,
    ):
        yield store, client
    store.stop()


@pytest.fixture(scope="module")
def next_generation(tmp_path_factory):
    """A generation that was trained with the item `comedy-90` in its table of items, without interactions."""
    return put_items.world(tmp_path_factory.mktemp("next"))[0]


def test_the_next_generation_contains_put_items(world, tiny_world, next_generation):
    """Such an item is no put item any more and is still recommended. Hidden items stay hidden. A rollback reverses
    it.
    """
    store, client = world
    assert client.get("/status").json()["topology"] == "inline"
    generations, first = RedisGenerationStore(store.url), tiny_world[0].manifest.id
    put(client, comedy("comedy-90"), comedy("encore"), {"item_id": "comedy-3", "available": False})

    def serves(generation, fresh):
        status = client.get("/status").json()
        items, answer = recommend(client, "stranger")
        return (
            (status["generation"], status["fresh_items"], answer["generation"]) == (generation, fresh, generation)
            and {"comedy-90", "encore"} <= items.keys()
            and "comedy-3" not in items
        )

    poll("put", lambda: serves(first, 2))
    second = tiny.publish(next_generation, generations)
    poll("the next generation", lambda: serves(second, 1))
    assert recommend(client, "stranger")[0]["comedy-90"]["title"] == "A new comedy-90"
    generations.promote(first)
    poll("the one before", lambda: serves(first, 2))


def test_put_items_stay_while_the_store_is_away(world):
    """Hidden items stay hidden. A put gets 503 with a sentence, and works when Redis is back."""
    store, client = world
    put(client, comedy("kept"), {"item_id": "comedy-3", "available": False})

    def is_complete():
        items, _ = recommend(client, "stranger")
        return "kept" in items and "comedy-3" not in items

    poll("known", is_complete)
    store.stop()
    for _ in range(10):
        assert is_complete()
    refused = client.put("/items", json={"items": [comedy("late")]})
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "store"
    assert store.ensure() == store.url
    poll("put again", lambda: client.put("/items", json={"items": [comedy("late")]}).status_code == 200, 1)
    poll("recommended again", lambda: is_complete() and "late" in recommend(client, "stranger")[0])
    with redis.Redis.from_url(store.url) as behind:
        behind.flushdb()
    for _ in range(5):
        assert "comedy-3" not in recommend(client, "stranger")[0]
