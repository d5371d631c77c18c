"""Slates while some processes have not received the items put."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import numpy as np
import pytest

from recsys.errors import QueryError, StoreUnavailable
from recsys.fresh_items.put_items import NOTHING_PUT, Put
from recsys.model.ranker import Ranker
from recsys.retrieval.retriever import Retriever
from recsys.rules import compile_rules, parse
from recsys.store import MemoryStore
from recsys.store.memory.memory_items import MemoryItems
from recsys.types import Event
from service import schema
from service.backends.calls import Backends
from service.backends.models import RankingModel, RetrievalModel
from service.generations.served import ServedGeneration
from service.recommend.pipeline import Pipeline
from service.recommend.query import Query
from service.settings import Settings
from service.verbs.items import CALM_SECONDS, POLL_SECONDS, ItemFollower, ItemVerbs
from tests.fakes.in_process import Held
from tests.sample_data import put_items, tiny
from tests.sample_data.put_items import LATER, hide, item, putting


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return put_items.world(tmp_path_factory.mktemp("unseen"))


class Deployment:
    """All stages in one process, in which each part may have received other puts."""

    def __init__(self, world):
        self.store = MemoryStore()
        tiny.publish(world[0], self.store)
        self.served = ServedGeneration.load(world[0])
        self.puts = dict.fromkeys(("gateway", "retrieval", "ranking"), NOTHING_PUT)
        self.retrieval = RetrievalModel(Held(Retriever.load(world[0])), lambda: self.puts["retrieval"])
        self.ranking = RankingModel(Held(Ranker.load(world[0])), lambda: self.puts["ranking"])

    def recommend(self, user=4, k=100, broken=(), **more):
        async def retrieve(rows):
            if "retrieval" in broken:
                raise RuntimeError("gone")
            return self.retrieval.retrieve(rows)

        async def rank(rows):
            if "ranking" in broken:
                raise RuntimeError("gone")
            return self.ranking.rank(rows)

        served = self.served.with_items(self.puts["gateway"])
        query = Query(served, user, k, time.monotonic() + 30, **more)
        backends = replace(Backends.local(self.retrieval, self.ranking), retrieve=retrieve, rank=rank)
        asyncio.run(Pipeline(self.store, backends, Settings()).run([query]))
        return [served.item_id(int(row)) for row in query.items], query


@pytest.fixture
def path(world):
    return Deployment(world)


def test_an_item_put_long_ago_fills_no_quota(path):
    """An item is as old as its last put, and the item put last is first."""
    now, day = LATER + 100 * 86_400, 86_400
    quota = parse("[[quota]]\nnew_within_days = 1\nat_least = 1\nwithin = 3")
    old, older = item("a", 1, put_at=now - 80 * day), item("b", 2, put_at=now - 90 * day)
    again = item("a", 1, version=3, put_at=now - day / 2)
    recent = item("b", 2, version=2, put_at=now - day * 0.9)
    for puts, brought in (((old, older), []), ((old, recent), ["b"]), ((again, recent), ["a"])):
        path.puts["gateway"] = putting(*puts)
        slate, query = path.recommend(k=3, now=now, rules=compile_rules(quota, path.served.spec))
        assert [name for name, row in zip(slate, query.items.tolist(), strict=True) if query.words.get(row)] == brought
        assert [name for name in slate if name in ("a", "b")] == brought


PUT = putting(item("x", 4, "comedy", year=2003), hide("comedy-2", 5), hide("y", 6))


@pytest.mark.parametrize("received", [("gateway",), ("retrieval",), ("ranking",), ("gateway", "retrieval"), (), None])
def test_a_slate_is_complete_while_processes_differ_in_their_puts(path, received):
    """It has only known items, each once. With the put in all processes the item is a candidate."""
    path.puts |= dict.fromkeys(path.puts if received is None else received, PUT)
    ids, query = path.recommend(user="nobody", session=[Event("nobody", "x", 1.0), Event("nobody", "comedy-1", 2.0)])
    assert query.degraded == []
    assert np.isfinite(query.scores).all()
    assert len(ids) == len(set(ids)) >= 70
    if received is None or "gateway" in received:
        assert "comedy-2" not in ids
    ids, query = path.recommend(user="nobody", session=[Event("nobody", "comedy-1", 2.0)])
    # An item of the gateway fills up a slate of all items; only an item of all three processes is a candidate.
    assert ("x" in ids) == (received is None or "gateway" in received)
    assert (query.candidates.items >= len(query.generation.tables)).any() == (received is None)


@pytest.mark.parametrize("broken", [(), ("ranking",), ("retrieval",), ("retrieval", "ranking")])
def test_no_fallback_shows_a_hidden_item(path, broken):
    """Nor does the list that fills a short slate: precomputed and popular lists are older than the put."""
    before, _ = path.recommend(broken=broken)
    gone = before[:20]
    path.puts |= dict.fromkeys(path.puts, putting(*(hide(item_id, n + 1) for n, item_id in enumerate(gone))))
    after, query = path.recommend(broken=broken)
    assert not set(gone) & set(after)
    assert len(after) == len(before) - 20
    if "retrieval" in broken:
        assert query.removed["unavailable"] >= 1


def test_a_full_store_drops_items_that_the_generation_has(path, monkeypatch):
    """Items put before the end of its data. If there are none the put is refused."""
    monkeypatch.setattr("recsys.store.memory.memory_items.CAPACITY", 2)
    end = path.served.manifest.data_end
    now = [end - 5]
    monkeypatch.setattr("recsys.store.memory.memory_items.time.time", lambda: now[0])
    store = MemoryItems()
    follower = ItemFollower(store, lambda: now[0])
    verbs = ItemVerbs(store, follower)

    def put(*ids):
        answer = asyncio.run(verbs.put([schema.Item(item_id=item_id) for item_id in ids], path.served))
        follower.refresh()
        return answer.stored

    assert put("comedy-1", "x") == 2
    now[0] = end + 5
    assert put("comedy-2") == 1
    assert {item.text for item in follower.current.items} == {"x", "comedy-2"}
    with pytest.raises(QueryError, match="python -m flows run"):
        put("comedy-3")


def test_a_follower_reads_again_soon_after_a_failure():
    """A message is received once, so the next read would be late."""
    waits, failing = [], [False, True, True, False]

    class Reader(MemoryItems):
        def changes(self, known):
            if failing.pop(0):
                raise StoreUnavailable("No Redis answers.")
            return known

        def wait(self, seconds, calm):
            waits.append(calm)
            if not failing:
                raise SystemExit
            return False

    follower = ItemFollower(Reader())
    follower.refresh()
    with pytest.raises(SystemExit):
        follower._follow()
    assert waits == [CALM_SECONDS, POLL_SECONDS, POLL_SECONDS, CALM_SECONDS]


def test_a_follower_keeps_its_items_while_the_store_is_away(caplog):
    """The outage is logged once."""

    class Away(MemoryItems):
        away = False

        def changes(self, known):
            if self.away:
                raise StoreUnavailable("No Redis answers.")
            return super().changes(known)

    store = Away()
    asyncio.run(store.put([Put("a")]))
    follower = ItemFollower(store)
    follower.refresh()
    known = follower.current
    assert len(known) == 1
    store.away = True
    for _ in range(3):
        follower.refresh()
    assert follower.current is known
    assert caplog.text.count("No Redis answers.") == 1
    store.away = False
    asyncio.run(store.put([Put("b")]))
    follower.refresh()
    assert len(follower.current) == 2


def test_a_click_on_a_new_item_counts_like_a_click_on_its_category(path):
    """The item is in the history and not in the slate."""
    path.puts |= dict.fromkeys(path.puts, putting(*(item(f"c{n}", n + 1, "comedy", year=2000) for n in range(3))))
    ids, query = path.recommend(user="nobody", session=[Event("nobody", f"c{n}", float(n)) for n in range(3)])
    assert len(query.history[0]) == 3
    assert not {"c0", "c1", "c2"} & set(ids)
    assert sum(item_id.startswith("comedy") for item_id in ids[:10]) >= 7
