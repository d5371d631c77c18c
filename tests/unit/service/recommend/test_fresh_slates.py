"""Slates while not every process has heard of the items put."""

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
from service.backends.backends import Backends
from service.backends.models import RankingModel, RetrievalModel
from service.generations.served import ServedGeneration
from service.recommend.pipeline import Pipeline
from service.recommend.query import Query
from service.settings import Settings
from service.verbs.items import CALM_SECONDS, LOOK_SECONDS, ItemFollower, ItemVerbs
from tests.fakes.in_process import Held
from tests.sample_data import put_items, tiny
from tests.sample_data.put_items import LATER, hide, item, putting


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return put_items.world(tmp_path_factory.mktemp("unseen"))


class Deployment:
    """The whole path in one process, where each part may know of other puts."""

    def __init__(self, world):
        self.store = MemoryStore()
        tiny.publish(world[0], self.store)
        self.served = ServedGeneration.load(world[0])
        self.knows = dict.fromkeys(("gateway", "retrieval", "ranking"), NOTHING_PUT)
        self.retrieval = RetrievalModel(Held(Retriever.load(world[0])), lambda: self.knows["retrieval"])
        self.ranking = RankingModel(Held(Ranker.load(world[0])), lambda: self.knows["ranking"])

    def recommend(self, user=4, k=100, broken=(), **more):
        async def retrieve(rows):
            if "retrieval" in broken:
                raise RuntimeError("gone")
            return self.retrieval.retrieve(rows)

        async def rank(rows):
            if "ranking" in broken:
                raise RuntimeError("gone")
            return self.ranking.rank(rows)

        served = self.served.with_items(self.knows["gateway"])
        query = Query(served, user, k, time.monotonic() + 30, **more)
        backends = replace(Backends.local(self.retrieval, self.ranking), retrieve=retrieve, rank=rank)
        asyncio.run(Pipeline(self.store, backends, Settings()).run([query]))
        return [served.item_id(int(row)) for row in query.items], query


@pytest.fixture
def path(world):
    return Deployment(world)


def test_what_was_put_long_ago_fills_no_quota(path):
    """It is as old as its last put, so that another one makes it new again; whatever was put last comes first."""
    now, day = LATER + 100 * 86_400, 86_400
    quota = parse("[[quota]]\nnew_within_days = 1\nat_least = 1\nwithin = 3")
    old, older = item("a", 1, put_at=now - 80 * day), item("b", 2, put_at=now - 90 * day)
    again = item("a", 1, version=3, put_at=now - day / 2)
    recent = item("b", 2, version=2, put_at=now - day * 0.9)
    for puts, brought in (((old, older), []), ((old, recent), ["b"]), ((again, recent), ["a"])):
        path.knows["gateway"] = putting(*puts)
        told, query = path.recommend(k=3, now=now, rules=compile_rules(quota, path.served.spec))
        assert [name for name, row in zip(told, query.items.tolist(), strict=True) if query.words.get(row)] == brought
        assert [name for name in told if name in ("a", "b")] == brought


PUT = putting(item("x", 4, "comedy", year=2003), hide("comedy-2", 5), hide("y", 6))


@pytest.mark.parametrize("heard", [("gateway",), ("retrieval",), ("ranking",), ("gateway", "retrieval"), (), None])
def test_processes_that_have_not_all_heard_disagree_on_no_item(path, heard):
    """Whoever knows first: the slate is whole, names only items, each once; all knowing, the fresh one is on it."""
    path.knows |= dict.fromkeys(path.knows if heard is None else heard, PUT)
    ids, query = path.recommend(user="nobody", session=[Event("nobody", "x", 1.0), Event("nobody", "comedy-1", 2.0)])
    assert query.degraded == []
    assert np.isfinite(query.scores).all()
    assert len(ids) == len(set(ids)) >= 70
    if heard is None or "gateway" in heard:
        assert "comedy-2" not in ids
    ids, query = path.recommend(user="nobody", session=[Event("nobody", "comedy-1", 2.0)])
    # What the gateway knows and may show tops up a list of all there is; as a candidate it needs all three to know it.
    assert ("x" in ids) == (heard is None or "gateway" in heard)
    assert (query.candidates.items >= len(query.generation.tables)).any() == (heard is None)


@pytest.mark.parametrize("broken", [(), ("ranking",), ("retrieval",), ("retrieval", "ranking")])
def test_no_fallback_shows_a_hidden_item(path, broken):
    """Nor in what tops a short slate up: precomputed and popular lists are older than the hiding."""
    before, _ = path.recommend(broken=broken)
    gone = before[:20]
    path.knows |= dict.fromkeys(path.knows, putting(*(hide(item_id, n + 1) for n, item_id in enumerate(gone))))
    after, query = path.recommend(broken=broken)
    assert not set(gone) & set(after)
    assert len(after) == len(before) - 20
    if "retrieval" in broken:
        assert query.removed["unavailable"] >= 1


def test_a_full_store_makes_room_of_what_the_generation_learned(path, monkeypatch):
    """Items put before its data ended, which it knows, go for new ones; others don't, and then there is no room."""
    monkeypatch.setattr("recsys.store.memory.memory_items.CAPACITY", 2)
    end = path.served.manifest.data_end
    now = [end - 5]
    store = MemoryItems(lambda: now[0])
    follower = ItemFollower(store, lambda: now[0])
    verbs = ItemVerbs(store, follower)

    def put(*ids):
        answer = asyncio.run(verbs.put([schema.Item(item_id=item_id) for item_id in ids], path.served))
        follower.look()
        return answer.stored

    assert put("comedy-1", "x") == 2
    now[0] = end + 5
    assert put("comedy-2") == 1
    assert {item.text for item in follower.current.items} == {"x", "comedy-2"}
    with pytest.raises(QueryError, match="python -m flows run"):
        put("comedy-3")


def test_a_follower_whose_look_failed_looks_again_soon():
    """What was announced is told once: the next look would be a calm one."""
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
    follower.look()
    with pytest.raises(SystemExit):
        follower._follow()
    assert waits == [CALM_SECONDS, LOOK_SECONDS, LOOK_SECONDS, CALM_SECONDS]


def test_a_follower_keeps_what_it_has(caplog):
    """With the store away, however it is away; and says so once."""

    class Away(MemoryItems):
        away = False

        def changes(self, known):
            if self.away:
                raise StoreUnavailable("No Redis answers.")
            return super().changes(known)

    store = Away()
    asyncio.run(store.put([Put("a")]))
    follower = ItemFollower(store)
    follower.look()
    known = follower.current
    assert len(known) == 1
    store.away = True
    for _ in range(3):
        follower.look()
    assert follower.current is known
    assert caplog.text.count("No Redis answers.") == 1
    store.away = False
    asyncio.run(store.put([Put("b")]))
    follower.look()
    assert len(follower.current) == 2


def test_a_fresh_item_s_click_moves_the_slate_like_one_of_its_kind(path):
    """Somebody unknown who clicks a fresh comedy is shown comedies; the click is in the history and not shown again."""
    path.knows |= dict.fromkeys(path.knows, putting(*(item(f"c{n}", n + 1, "comedy", year=2000) for n in range(3))))
    ids, query = path.recommend(user="nobody", session=[Event("nobody", f"c{n}", float(n)) for n in range(3)])
    assert len(query.history[0]) == 3
    assert not {"c0", "c1", "c2"} & set(ids)
    assert sum(item_id.startswith("comedy") for item_id in ids[:10]) >= 7
