"""The service in one process for tests: retrieval, ranking and all other steps, over a fake store and tiny models.

A test replaces a step with a broken or slow one.
"""

import asyncio
import time
from dataclasses import replace

from prometheus_client import REGISTRY

from recsys.fresh_items.put_items import NOTHING_PUT
from recsys.model.ranker import Ranker
from recsys.retrieval.retriever import Retriever
from recsys.slates.query import Query
from recsys.slates.served_generation import ServedGeneration
from service.backends.calls import Backends
from service.backends.models import RankingModel, RetrievalModel
from service.recommend.pipeline import Pipeline
from service.settings import Settings
from service.verbs.explain import SlateExplainer
from service.verbs.similar import SimilarItems
from tests.fakes.fake_users import FakeUserStore


class Held:
    """Fake holder of loaded generations: has the same object for all of them."""

    def __init__(self, thing):
        self.thing = thing

    def get(self, generation):
        return self.thing


class InProcessService:
    """The steps, models and store of the service; a test replaces those that it wants broken.

    puts: the items put that gateway, retrieval and ranking have received.
    """

    def __init__(self, folder):
        self.store, self.folder = FakeUserStore(folder), folder
        self.served = ServedGeneration.load(folder)
        self.puts = dict.fromkeys(("gateway", "retrieval", "ranking"), NOTHING_PUT)
        self.retrieval = RetrievalModel(Held(Retriever.load(folder)), lambda: self.puts["retrieval"])
        self.ranking = RankingModel(Held(Ranker.load(folder)), lambda: self.puts["ranking"])

    async def retrieve(self, rows):
        return self.retrieval.retrieve(rows)

    async def rank(self, rows):
        return self.ranking.rank(rows)

    def backends(self, **calls):
        backends = replace(Backends.local(self.retrieval, self.ranking), retrieve=self.retrieve, rank=self.rank)
        return replace(backends, **calls)

    def pipeline(self, store=None, **calls):
        return Pipeline(store or self.store, self.backends(**calls), Settings())

    def run(self, *queries, store=None, **calls):
        asyncio.run(self.pipeline(store, **calls).run(list(queries)))
        return queries[0]

    def explain(self, query, row, **calls):
        return asyncio.run(SlateExplainer(self.pipeline(**calls), self.backends(**calls)).explain(query, row))

    def similar(self, query, row, store=None, **calls):
        async def scene():
            await self.pipeline(store, **calls).hydrate([query])
            await SimilarItems(self.pipeline(**calls), self.backends(**calls), store or self.store).find(query, row)

        asyncio.run(scene())
        return query

    def query(self, user=4, k=10, deadline=5.0, **more):
        served = self.served.with_items(self.puts["gateway"]) if self.puts["gateway"] else self.served
        return Query(served, user, k, time.monotonic() + deadline, **more)


async def broken(_):
    raise RuntimeError("gone")


async def slow(_):
    await asyncio.sleep(5)


def ids(query):
    return [query.generation.item_id(int(row)) for row in query.items]


def counted(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0.0
