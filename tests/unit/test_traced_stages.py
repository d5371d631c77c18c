"""What a trace shows of the stages behind both doors, and of the calls that they make."""

import asyncio
import time
from functools import partial
from types import SimpleNamespace

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags, TraceState

from recsys.items import NOTHING_PUT
from service.backends import wire
from service.backends.backends import Backends
from service.recommend.pipeline import Pipeline
from service.recommend.query import NO_RULES
from service.schema import RecommendRequest, SimilarRequest
from service.settings import Settings
from service.telemetry import tracing
from service.telemetry.tracing import STATES, TRACES, TracedRecommender
from service.verbs.recommender import Dependencies
from service.verbs.similar import SimilarItems
from tests.traces import SAMPLED, UNSAMPLED, Traces
from tests.whole_path import World, broken


@pytest.fixture
def traces():
    return Traces()


@pytest.fixture(scope="module")
def world(tiny_world):
    return World(tiny_world[0])


class Inside:
    """A traced recommender over the whole path in one process; headers: what hops would have carried, by call."""

    def __init__(self, world, traces, **calls):
        self.headers = {}
        plain = world.backends(**calls)
        heard = {name: partial(self._hear, name, getattr(plain, name)) for name in Backends.__dataclass_fields__}
        backends = traces.tracer.backends(Backends(**heard))
        desk = SimpleNamespace(live=world.served, current=NOTHING_PUT, note=lambda _: None)
        trending, rules = SimpleNamespace(rows=lambda *_: {}), SimpleNamespace(of=lambda _: NO_RULES)
        pipeline = Pipeline(world.store, backends, Settings(), traces.tracer.stage)
        dependencies = Dependencies(
            pipeline, desk, None, desk, SimilarItems(pipeline, backends), None, trending, desk, rules
        )
        self.traces = traces
        self.recommender = TracedRecommender(dependencies, world.store, Settings(max_in_flight=1))

    async def _hear(self, name, call, asked):
        self.headers.setdefault(name, []).append(tracing.headers())
        await asyncio.sleep(0)  # as over a socket: others come meanwhile
        return await call(asked)

    async def ask(self, user=4, headers=SAMPLED, deadline=5.0, **more):
        request = RecommendRequest(user_id=None if "user_ids" in more else user, **more)
        with self.traces.tracer.request(f"ask {user}", headers, {}):
            return await self.recommender.recommend(request, time.monotonic() + deadline)

    def run(self, *asks):
        """Answers, and the spans by the request's name and their own."""

        async def scene():
            return await asyncio.gather(*asks)

        answers = asyncio.run(scene())
        spans = self.traces.taken()
        requests = {span.context.span_id: span.name for span in spans if span.name.startswith("ask")}
        return answers, {
            (requests[span.parent.span_id], span.name): span for span in spans if span.parent.span_id in requests
        } | {(span.name, ""): span for span in spans if span.name.startswith("ask")}


def named(headers):
    """The ids of the spans that the headers of a call name."""
    return {each.split("-")[2] for each in headers.get(TRACES, "").split()}


def id_of(span):
    return f"{span.context.span_id:016x}"


class TestStages:
    def test_each_is_a_span_below_its_request(self, world, traces):
        """And says in how large a batch; the request says what its answer came from."""
        inside = Inside(world, traces)
        (answer,), spans = inside.run(inside.ask(mode="realtime"))
        assert set(spans) == {("ask 4", ""), *(("ask 4", name) for name in ("hydrate", "retrieve", "rank"))}
        request = spans["ask 4", ""]
        assert dict(request.attributes) == {
            "tandem.generation": answer[0].generation.id,
            "tandem.mode": "realtime",
            "tandem.degraded": (),
        }
        assert spans["ask 4", "rank"].attributes["tandem.batch.queries"] == 1
        kinds = [spans["ask 4", name].kind for name in ("hydrate", "retrieve", "rank")]
        assert kinds == [SpanKind.INTERNAL, SpanKind.CLIENT, SpanKind.CLIENT]
        assert all(
            request.start_time <= span.start_time <= span.end_time <= request.end_time for span in spans.values()
        )
        assert [named(told) for told in inside.headers["rank"]] == [{id_of(spans["ask 4", "rank"])}]

    def test_in_a_batch_each_has_its_own(self, world, traces):
        """A call names all that are sampled; the others have no span, and are in the batch."""
        inside = Inside(world, traces)
        asks = [inside.ask(user, mode="realtime") for user in (4, 5, 6)] + [inside.ask(7, UNSAMPLED, mode="realtime")]
        _, spans = inside.run(*asks)  # the first is alone, the others wait for it
        assert not [key for key in spans if key[0] == "ask 7"]
        assert [spans[f"ask {user}", "rank"].attributes["tandem.batch.queries"] for user in (4, 5, 6)] == [1, 3, 3]
        ranked = [{id_of(spans["ask 4", "rank"])}, {id_of(spans[f"ask {user}", "rank"]) for user in (5, 6)}]
        assert [named(told) for told in inside.headers["rank"]] == ranked

    def test_one_that_has_ended_is_named_by_nobody(self, world, traces):
        """Those who waited behind it leave as it lands, and are not sampled."""
        inside = Inside(world, traces)
        asks = [inside.ask(4, mode="realtime")] + [inside.ask(user, UNSAMPLED, mode="realtime") for user in (5, 6)]
        _, spans = inside.run(*asks)
        assert [named(told) for told in inside.headers["rank"]] == [{id_of(spans["ask 4", "rank"])}, set()]

    def test_a_request_for_several_has_one_of_each(self, world, traces):
        """Its queries share it, those of one batch: the first is alone, the others wait for it."""
        inside = Inside(world, traces)
        asyncio.run(inside.ask(user_ids=[4, 5, 6], mode="realtime"))
        spans = traces.taken()
        assert [span.attributes["tandem.batch.queries"] for span in spans if span.name == "retrieve"] == [1, 2]
        assert len(spans) == 7
        assert len({span.context.trace_id for span in spans}) == 1

    def test_a_call_names_those_it_is_made_for(self, world, traces):
        """Of a mixed batch, lists that are ranked anew are completed, and the others retrieved."""
        inside = Inside(world, traces)
        asks = [inside.ask(0, mode="realtime"), inside.ask(4, mode="realtime"), inside.ask(5, mode="hybrid")]
        _, spans = inside.run(*asks)
        assert spans["ask 5", "retrieve"].attributes["tandem.batch.queries"] == 2
        assert named(inside.headers["retrieve"][1]) == {id_of(spans["ask 4", "retrieve"])}
        assert named(inside.headers["complete"][0]) == {id_of(spans["ask 5", "retrieve"])}

    def test_one_that_breaks_is_an_error_and_the_request_is_none(self, world, traces):
        """It was answered, degraded."""
        inside = Inside(world, traces, rank=broken)
        _, spans = inside.run(inside.ask(mode="realtime"))
        assert spans["ask 4", "rank"].status.status_code == StatusCode.ERROR
        assert spans["ask 4", "rank"].attributes["error.type"] == "RuntimeError"
        assert spans["ask 4", "retrieve"].status.status_code == StatusCode.UNSET
        assert spans["ask 4", ""].attributes["tandem.degraded"] == ("ranking",)
        assert spans["ask 4", ""].status.status_code == StatusCode.UNSET

    def test_a_row_that_fails_is_one_query_s_error(self, world, traces):
        """Its neighbour's span is whole."""

        async def poisoned(asked):
            found = world.ranking.rank(asked)
            if len(found) == 2:
                wire.as_table(found, wire.RANKED)["failed"][0] = 1
            return found

        inside = Inside(world, traces, rank=poisoned)
        _, spans = inside.run(*(inside.ask(user, mode="realtime") for user in (4, 5, 6)))
        marks = [spans[f"ask {user}", "rank"].attributes.get("error.type") for user in (4, 5, 6)]
        assert marks == [None, "failed", None]

    def test_one_that_is_left_ends_when_its_query_goes_on(self, world, traces):
        """While the others wait for the same call."""

        async def slow(asked):
            await asyncio.sleep(1.5 * (len(asked) - 1))
            return world.retrieval.retrieve(asked)

        inside = Inside(world, traces, retrieve=slow)
        hasty, calm = inside.ask(5, mode="realtime", deadline=1.5), inside.ask(6, mode="realtime")
        _, spans = inside.run(inside.ask(4, mode="realtime"), hasty, calm)
        late = spans["ask 5", "retrieve"]
        assert late.attributes["error.type"] == "late"
        assert late.end_time <= spans["ask 5", ""].end_time < spans["ask 6", "retrieve"].end_time
        assert spans["ask 6", "retrieve"].status.status_code == StatusCode.UNSET

    def test_likes_have_their_call(self, world, traces):
        """Which no stage makes."""
        inside = Inside(world, traces)

        async def ask():
            with traces.tracer.request("ask 4", SAMPLED, {}):
                return await inside.recommender.similar(SimilarRequest(item_id="drama-1"), time.monotonic() + 5)

        _, spans = inside.run(ask())
        assert named(inside.headers["similar"][0]) == {id_of(spans["ask 4", "similar"])}
        assert spans["ask 4", ""].attributes["tandem.degraded"] == ()


def test_no_head_is_too_long_for_the_states_it_carries():
    """Those of 512 spans at their longest are left out, and the spans are not."""
    state = TraceState([("shop", "x" * 256)])
    spans = [NonRecordingSpan(SpanContext(1, each, True, TraceFlags(1), state)) for each in range(1, 513)]
    token = tracing._carried.set(spans)
    few = tracing._carried.set(spans[:2])
    short = tracing.headers()
    tracing._carried.reset(few)
    long = tracing.headers()
    tracing._carried.reset(token)
    assert set(short) == {TRACES, STATES}
    assert set(long) == {TRACES}
    assert len(long[TRACES].split()) == 512
