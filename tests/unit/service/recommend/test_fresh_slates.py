"""Slates while some processes have not received the items put."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import numpy as np
import pytest

from recsys.errors import QueryError
from recsys.store.redis.item_store import RedisItemReader, RedisItemWriter
from recsys.types import Event
from service import schema
from service.verbs.items import ItemFollower, ItemVerbs
from tests.fakes.in_process import InProcessService, broken, ids
from tests.sample_data import put_items
from tests.sample_data.put_items import hide, item, putting


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return put_items.world(tmp_path_factory.mktemp("unseen"))


@pytest.fixture
def path(world):
    return InProcessService(world[0])


PUT = putting(item("x", 4, "comedy", year=2003), hide("comedy-2", 5), hide("y", 6))


@pytest.mark.parametrize("received", [("gateway",), ("retrieval",), ("ranking",), ("gateway", "retrieval"), (), None])
def test_a_slate_is_complete_while_processes_differ_in_their_puts(path, received):
    """It has only known items, each once. With the put in all processes the item is a candidate."""
    path.puts |= dict.fromkeys(path.puts if received is None else received, PUT)
    session = [Event("nobody", "x", 1.0), Event("nobody", "comedy-1", 2.0)]
    query = path.run(path.query("nobody", 100, 30, session=session))
    assert query.degraded == []
    assert np.isfinite(query.scores).all()
    assert len(ids(query)) == len(set(ids(query))) >= 70
    if received is None or "gateway" in received:
        assert "comedy-2" not in ids(query)
    query = path.run(path.query("nobody", 100, 30, session=session[1:]))
    # An item of the gateway fills up a slate of all items; only an item of all three processes is a candidate.
    assert ("x" in ids(query)) == (received is None or "gateway" in received)
    assert (query.candidates.items >= len(query.generation.tables)).any() == (received is None)


@pytest.mark.parametrize("away", [(), ("rank",), ("retrieve",), ("retrieve", "rank")])
def test_no_fallback_shows_a_hidden_item(path, away):
    """Nor does the list that fills a short slate: precomputed and popular lists are older than the put."""
    calls = dict.fromkeys(away, broken)
    before = ids(path.run(path.query(k=100), **calls))
    gone = before[:20]
    path.puts |= dict.fromkeys(path.puts, putting(*(hide(item_id, n + 1) for n, item_id in enumerate(gone))))
    query = path.run(path.query(k=100), **calls)
    assert not set(gone) & set(ids(query))
    assert len(query.items) == len(before) - 20
    if "retrieve" in away:
        assert query.removed["unavailable"] >= 1


@pytest.fixture
def follower(empty_url):
    """The items put into an empty store, as a process reads them."""
    reader = RedisItemReader(empty_url)
    yield ItemFollower(reader)
    reader.close()


def put(url, follower, live, *item_ids):
    """Put items as a request does, and return how many were stored. The follower has not read them yet."""

    async def scene():
        verbs = ItemVerbs(RedisItemWriter(url), follower)
        try:
            return await verbs.put([schema.Item(item_id=item_id) for item_id in item_ids], live)
        finally:
            await verbs.close()

    return asyncio.run(scene()).stored


def test_a_full_store_drops_items_that_the_generation_has(path, follower, empty_url, monkeypatch):
    """Items put before the end of its data. If there are none the put is refused."""
    monkeypatch.setattr("recsys.store.redis.item_store.CAPACITY", 2)
    assert put(empty_url, follower, path.served, "comedy-1", "x") == 2
    follower.refresh()
    manifest = path.served.manifest
    live = replace(path.served, manifest=replace(manifest, data={**manifest.data, "last": time.time()}))
    assert put(empty_url, follower, live, "comedy-2") == 1
    follower.refresh()
    assert {item.text for item in follower.current.items} == {"x", "comedy-2"}
    with pytest.raises(QueryError, match="python -m flows run"):
        put(empty_url, follower, live, "comedy-3")
