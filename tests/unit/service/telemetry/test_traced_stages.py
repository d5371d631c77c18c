"""The spans of stages: one for each batch, linked with the requests of the batch."""

import asyncio
import time
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
from opentelemetry import propagate
from opentelemetry.trace import StatusCode

from recsys.fresh_items.put_items import NOTHING_PUT
from service.recommend.pipeline import Pipeline
from service.recommend.query import NO_RULES
from service.schema import RecommendRequest
from service.settings import Settings
from service.telemetry.tracing import TracedRecommender, TracedStage
from service.verbs.recommender import Dependencies
from service.verbs.similar import SimilarItems
from tests.fakes.in_process import InProcessService, broken
from tests.fakes.traces import SAMPLED, UNSAMPLED, Traces


@pytest.fixture
def traces():
    return Traces()


@pytest.fixture(scope="module")
def world(tiny_world):
    return InProcessService(tiny_world[0])


class Inside:
    """A traced recommender in one process. headers: those of each call of ranking."""

    def __init__(self, world, traces, rank=None):
        self.headers = []
        self._rank = rank or world.rank
        backends = replace(world.backends(), rank=self._ranked)
        parts = SimpleNamespace(generation=lambda alias: world.served, current=NOTHING_PUT, note=lambda _: None)
        trending, rules = SimpleNamespace(rows=lambda *_: {}), SimpleNamespace(of=lambda _: NO_RULES)
        traced = partial(TracedStage, tracer=traces.tracer, remote=True)
        pipeline = Pipeline(world.store, backends, Settings(), traced)
        dependencies = Dependencies(
            pipeline, parts, None, parts, SimilarItems(pipeline, backends), None, trending, parts, rules
        )
        self.traces = traces
        self.recommender = TracedRecommender(dependencies, world.store, Settings(max_in_flight=1))

    async def _ranked(self, rows):
        headers = {}
        propagate.inject(headers)
        self.headers.append(headers.get("traceparent"))
        await asyncio.sleep(0)  # as over a socket: other requests come meanwhile
        return await self._rank(rows)

    async def recommend(self, user=4, headers=SAMPLED, **more):
        request = RecommendRequest(user_id=None if "user_ids" in more else user, mode="realtime", **more)
        with self.traces.request(f"request {user}", headers):
            return await self.recommender.recommend(request, time.monotonic() + 5)

    def run(self, *requests):
        """The answers, the spans of requests by name, and those of stages by name, in the order of their ends."""

        async def scene():
            return await asyncio.gather(*requests)

        answers = asyncio.run(scene())
        spans = self.traces.taken()
        stages = {name: [span for span in spans if span.name == name] for name in ("hydrate", "retrieve", "rank")}
        return answers, {span.name: span for span in spans if span.name.startswith("request")}, stages


def ids(contexts):
    return [context.span_id for context in contexts]


def linked(span):
    return ids(link.context for link in span.links)


def traceparent(span):
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"


def test_a_stage_of_a_merged_batch_is_one_span_with_links(world, traces):
    """The parent is the first sampled request. The other sampled requests and the span have links to each other."""
    inside = Inside(world, traces)
    waiting = [inside.recommend(user) for user in (4, 5, 6)] + [inside.recommend(7, UNSAMPLED)]
    _, requests, stages = inside.run(*waiting)  # the first is alone, the others wait for it
    assert set(requests) == {"request 4", "request 5", "request 6"}
    for alone, merged in stages.values():
        assert alone.parent.span_id == requests["request 4"].context.span_id
        assert merged.parent.span_id == requests["request 5"].context.span_id
        assert merged.attributes["tandem.batch.queries"] == 3
        assert linked(merged) == ids([requests["request 6"].context])
    assert linked(requests["request 6"]) == ids(merged.context for _, merged in stages.values())
    assert inside.headers == [traceparent(span) for span in stages["rank"]]


def test_a_batch_without_a_sampled_request_is_in_no_trace(world, traces):
    """Also when the end of a sampled request starts the batch."""
    inside = Inside(world, traces)
    _, _, stages = inside.run(inside.recommend(4), inside.recommend(5, UNSAMPLED), inside.recommend(6, UNSAMPLED))
    assert inside.headers == [traceparent(stages["rank"][0]), None]


def test_a_stage_that_fails_is_an_error_and_its_request_is_not(world, traces):
    """The request was answered without the stage."""
    inside = Inside(world, traces, rank=broken)
    _, requests, stages = inside.run(inside.recommend())
    (rank,), request = stages["rank"], requests["request 4"]
    assert (rank.status.status_code, rank.attributes["error.type"]) == (StatusCode.ERROR, "RuntimeError")
    assert not rank.events
    assert request.attributes["tandem.degraded"] == ("ranking",)
    assert request.status.status_code == StatusCode.UNSET
