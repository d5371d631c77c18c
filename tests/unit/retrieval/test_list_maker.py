"""Lists made ahead are what a request would be answered, and nobody's hidden or seen item is on one."""

import asyncio
import time
from dataclasses import replace

import numpy as np
import pytest

from recsys.fresh_items.catalogue_changes import CatalogueChanges
from recsys.fresh_items.put_items import PutItem, PutItems
from recsys.lists.list_maker import ListMaker
from recsys.lists.user_list import digest
from recsys.lists.user_record import UserRecord
from recsys.model.ranker import Ranker
from recsys.retrieval.retriever import Retriever
from recsys.rules import Rules, compile_rules
from recsys.slates.query import Query
from recsys.slates.served_generation import ServedGeneration
from recsys.types import Event, Source
from service.backends.calls import Backends
from service.backends.models import RankingModel, RetrievalModel
from service.recommend.pipeline import Pipeline
from service.settings import Settings
from tests.fakes.fake_users import FakeUserStore
from tests.fakes.in_process import Held

TRENDING = ["drama-1", "gone from the catalogue", "action-2"]


class Scene:
    """One generation behind the pipeline that serves and before the maker of lists, over one store."""

    def __init__(self, folder):
        self.store = FakeUserStore(folder)
        self.served = ServedGeneration.load(folder)
        retriever, ranker = Retriever.load(folder), Ranker.load(folder)
        backends = Backends.local(RetrievalModel(Held(retriever)), RankingModel(Held(ranker)))
        self.pipeline = Pipeline(self.store, backends, Settings())
        self.maker = ListMaker(folder.manifest, folder.tables(), folder.spec(), retriever, ranker)

    def add(self, user, *items):
        self.store.add(*(Event(user, item, time.time() - 60 + n) for n, item in enumerate(items)))

    def past(self, user):
        return UserRecord.unpack(self.store.records.get(str(user))), self.store.events.get(str(user), [])

    def answered(self, user, now, **more):
        """What a request in real time gets, but for what tops it up."""
        query = Query(self.served, user, 60, time.monotonic() + 60, now=now, **more)
        asyncio.run(self.pipeline.run([query]))
        assert not query.degraded
        query.keep(np.array([query.words.get(row) != ("top_up",) for row in query.items.tolist()], bool))
        return query


@pytest.fixture(scope="module")
def scene(tiny_world):
    scene = Scene(tiny_world[0])
    scene.add(4, "comedy-3", "drama-2")
    scene.add("new", "action-1")
    return scene


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("hot", [[], TRENDING])
def test_a_list_is_what_a_request_would_be_answered(scene, hot, repeats):
    """The same items in the same order with the same scores and sources, for the known, the active and the new."""
    now = time.time()
    rules = Rules(exclude_seen=False) if repeats else Rules()
    maker = replace(scene.maker, rules=rules).with_trending(hot)
    extra = dict.fromkeys(maker.trending, int(Source.TRENDING))
    users = [3, 4, "new"]
    for user, made in zip(users, maker.make([scene.past(user) for user in users], now), strict=True):
        told = scene.answered(user, now, extra=extra, rules=compile_rules(rules, scene.maker.spec))
        assert len(told.items) >= 20
        assert made.items[: len(told.items)].tolist() == told.items.tolist()
        np.testing.assert_allclose(made.scores[: len(told.items)], told.scores, atol=1e-4)
        assert made.sources[: len(told.items)].tolist() == told.sources.tolist()
        assert (made.made_at, made.events) == (now, digest(scene.past(user)[1]))


def test_what_a_put_hides_is_on_no_list(scene):
    """And its title is the one put last."""
    past, now = scene.past(3), time.time()
    (before,) = scene.maker.make([past], now)
    best = int(before.items[0])
    item = scene.maker.tables.ids[best]
    put = PutItem(item, 1, 1, now, "New title", now, available=False, available_at=now)
    tables = scene.maker.tables
    find = lambda texts: [tables.ids.row_of(text) for text in texts]  # noqa: E731
    fresh = CatalogueChanges.of(PutItems("e", 1, (put,)), find, tables.available, scene.maker.manifest.data_end)
    hiding = replace(scene.maker, fresh=fresh)
    assert hiding.make([past], now)[0].items.tolist() == before.items[1:].tolist()
    assert (hiding.title(best), scene.maker.title(best)) == ("New title", tables.titles[best])
    shown = replace(hiding, rules=Rules(hide_unavailable=False)).make([past], now)[0]
    assert best in shown.items
