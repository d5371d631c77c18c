"""What a trace shows: requests at both doors, stages, and the calls that were made for them."""

import asyncio
import time
from contextlib import suppress
from functools import partial
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags, TraceState
from starlette.testclient import TestClient

from recsys.errors import QueryError, StageError
from recsys.items import NOTHING_PUT
from service import compose, doors, tracing, wire
from service.callees import Callees
from service.front import Front
from service.hop import Hop
from service.http import Door
from service.pipeline import Pipeline
from service.query import NO_RULES, Query
from service.recommender import Desks
from service.rpc.tandem.v1 import recommender_pb2 as pb
from service.rpc.tandem.v1.recommender_pb2_grpc import RecommenderStub
from service.schema import Mode, RecommendRequest, SimilarRequest
from service.settings import Settings
from service.similar import SimilarItems
from service.traced_doors import TracedDoor, TracedLane, traced_rpc
from service.tracing import TRACES, TracedRecommender, Tracer
from tests.fake_recommender import FakeRecommender, RpcServer
from tests.unit.test_hop import Server, lane, rows
from tests.whole_path import World, broken

TRACE, ABOVE = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = ({"traceparent": f"00-{TRACE}-{ABOVE}-{flags}"} for flags in ("01", "00"))
WHO = "mary@example.com"


class Traces:
    """Spans as they are exported."""

    def __init__(self, sampler=sampling.ParentBased(sampling.ALWAYS_ON)):  # noqa: B008 - a constant
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = Tracer(self.provider)

    @property
    def spans(self):
        return self._exporter.get_finished_spans()

    def taken(self):
        """All there are, and forgets them."""
        spans = self.spans
        self._exporter.clear()
        return spans

    def one(self):
        (span,) = self.taken()
        return span


@pytest.fixture
def traces():
    return Traces()


@pytest.fixture(scope="module")
def world(tiny_world):
    return World(tiny_world[0])


@pytest.fixture
def recommender():
    return FakeRecommender()


@pytest.fixture
def client(recommender, traces):
    """The HTTP door; BentoML behind it has nothing."""
    door = Door()
    door.recommender = recommender
    front = Front(door, Door().app)
    return TestClient(TracedDoor(front, traces.tracer, door.app.routes), raise_server_exceptions=False)


class TestHttp:
    def test_a_request_is_a_span_below_the_caller_s(self, client, traces):
        """In the words of the semantic conventions."""
        client.post("/recommend", json={"user_id": WHO}, headers=SAMPLED)
        span = traces.one()
        assert (span.name, span.kind) == ("POST /recommend", SpanKind.SERVER)
        assert f"{span.context.trace_id:032x}" == TRACE
        assert f"{span.parent.span_id:016x}" == ABOVE
        assert dict(span.attributes) == {
            "http.request.method": "POST",
            "http.route": "/recommend",
            "url.path": "/recommend",
            "url.scheme": "http",
            "network.protocol.version": "1.1",
            "http.response.status_code": 200,
        }
        assert span.status.status_code == StatusCode.UNSET

    @pytest.mark.parametrize(
        ("fault", "status", "broken"),
        [
            (QueryError("No.", "k"), 422, False),
            (QueryError("No such item.", "item_id", code="not_found"), 404, False),
            (QueryError("Too many.", code="overloaded"), 429, False),
            (StageError("Gone."), 503, True),
            (ZeroDivisionError("secret"), 500, True),
        ],
    )
    def test_what_the_caller_did_wrong_is_no_error_of_ours(self, client, recommender, traces, fault, status, broken):
        """What we did is; its words stay out."""
        recommender.fault = [fault]
        client.post("/recommend", json={"user_id": WHO})
        span = traces.one()
        assert span.attributes["http.response.status_code"] == status
        assert span.attributes.get("error.type") == (str(status) if broken else None)
        assert span.status.status_code == (StatusCode.ERROR if broken else StatusCode.UNSET)
        assert not span.events
        assert span.status.description is None

    def test_a_refusal_before_anything_is_parsed_is_one_too(self, client, recommender, traces):
        """The front answers, and the door is not asked."""
        recommender.full = True
        client.post("/recommend", content=b"{")
        assert traces.one().attributes["http.response.status_code"] == 429

    def test_probes_and_metrics_have_none(self, client, traces):
        """They come every few seconds and say nothing."""
        for path in ("/livez", "/readyz", "/healthz", "/metrics"):
            client.get(path)
        assert traces.taken() == ()

    def test_nobody_is_named(self, client, traces):
        """Neither by a path nor by a body nor by an odd method."""
        client.post("/recommend", json={"user_id": WHO})
        client.get(f"/users/{WHO}")
        client.delete(f"/users/{WHO}")
        client.get(f"/nothing/{WHO}?who={WHO}")
        client.request(WHO.partition("@")[0].upper(), "/recommend")
        spans = traces.taken()
        names = ["POST /recommend", "GET /users/{user_id}", "DELETE /users/{user_id}", "GET", "HTTP /recommend"]
        assert [span.name for span in spans] == names
        assert "mary" not in "".join(span.to_json() for span in spans).lower()

    def test_what_the_caller_does_not_sample_is_not(self, client, traces):
        """By the sampler's default, which asks above."""
        assert client.post("/recommend", json={"user_id": WHO}, headers=UNSAMPLED).status_code == 200
        assert traces.taken() == ()


class TestRpc:
    @pytest.fixture
    def stub(self, recommender, traces):
        server = RpcServer(recommender, wrap=partial(traced_rpc, traces.tracer))
        with server, grpc.insecure_channel(server.place) as channel:
            yield RecommenderStub(channel)

    def ask(self, stub, timeout=10):
        with suppress(grpc.RpcError):
            stub.Recommend(pb.RecommendRequest(user_id=pb.Id(text=WHO)), metadata=SAMPLED.items(), timeout=timeout)

    def last(self, traces):
        """The span may end after the answer has left."""
        end = time.monotonic() + 10
        while not traces.spans and time.monotonic() < end:
            time.sleep(0.01)
        return traces.one()

    def test_a_request_is_a_span_below_the_caller_s(self, stub, traces):
        """Which comes in the metadata."""
        self.ask(stub)
        span = self.last(traces)
        assert (span.name, span.kind) == ("tandem.v1.Recommender/Recommend", SpanKind.SERVER)
        assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, ABOVE)
        told = {"rpc.system.name": "grpc", "rpc.method": span.name, "rpc.response.status_code": "OK"}
        assert dict(span.attributes) == told
        assert span.status.status_code == StatusCode.UNSET

    @pytest.mark.parametrize(
        ("fault", "code", "broken"),
        [
            (QueryError("No.", "k"), "INVALID_ARGUMENT", False),
            (QueryError("Too many.", code="overloaded"), "RESOURCE_EXHAUSTED", False),
            (StageError("Gone."), "UNAVAILABLE", True),
            (ZeroDivisionError("secret"), "INTERNAL", True),
        ],
    )
    def test_only_what_we_did_wrong_is_an_error(self, stub, recommender, traces, fault, code, broken):
        """As over HTTP."""
        recommender.fault = [fault]
        self.ask(stub)
        span = self.last(traces)
        assert span.attributes["rpc.response.status_code"] == code
        assert span.status.status_code == (StatusCode.ERROR if broken else StatusCode.UNSET)

    def test_a_deadline_that_passes_is_one(self, stub, recommender, traces):
        """Though nobody waits for the answer any more."""
        recommender.wait = 30
        self.ask(stub, timeout=0.5)
        span = self.last(traces)
        assert span.attributes["rpc.response.status_code"] == "DEADLINE_EXCEEDED"
        assert span.status.status_code == StatusCode.ERROR


class Inside:
    """A traced recommender over the whole path in one process; headers: what hops would have carried, by call."""

    def __init__(self, world, traces, **calls):
        self.headers = {}
        plain = world.callees(**calls)
        heard = {name: partial(self._hear, name, getattr(plain, name)) for name in Callees.__dataclass_fields__}
        callees = traces.tracer.callees(Callees(**heard))
        desk = SimpleNamespace(live=world.served, current=NOTHING_PUT, note=lambda _: None)
        trending, rules = SimpleNamespace(rows=lambda *_: {}), SimpleNamespace(of=lambda _: NO_RULES)
        pipeline = Pipeline(world.store, callees, Settings(), traces.tracer.stage)
        desks = Desks(pipeline, desk, None, desk, SimilarItems(callees.similar), None, trending, desk, rules)
        self.traces = traces
        self.recommender = TracedRecommender(desks, world.store, Settings(max_in_flight=1))

    async def _hear(self, name, call, asked):
        self.headers.setdefault(name, []).append(tracing.headers())
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


def named(header):
    """The ids of the spans that a header names."""
    assert header == "" or (header.startswith(f"{TRACES}: ") and header.endswith("\r\n"))
    return {each.split("-")[2] for each in header.split()[1:]}


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
            "tandem.generation": answer["generation"],
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


class TestLane:
    def test_a_call_is_a_span_for_each_request(self, tmp_path, traces):
        """Below the stage's; one for which nobody is sampled has none, and one that breaks says so."""
        path = tmp_path / "socket"

        def traced(app, behind):
            return TracedLane(lane(app, behind), traces.tracer, "ranking")

        async def scene():
            hop = Hop(f"file://{path}", tracing.headers)
            await hop.call("double", rows(2))
            assert traces.taken() == ()
            stated = SAMPLED | {"tracestate": "shop=a;b c,other=~"}
            with traces.tracer.request("one", stated, {}) as one, traces.tracer.request("two", {}, {}) as two:
                token = tracing._carried.set([one, two])
                np.testing.assert_array_equal(await hop.call("double", rows(3)), 2 * rows(3))
                with suppress(StageError):
                    await hop.call("breaks", rows(1))
                tracing._carried.reset(token)
            return one, two

        with Server({"uds": str(path)}, make=traced):
            above = asyncio.run(scene())
        spans = [span for span in traces.taken() if span.name.startswith("ranking/")]
        assert [span.name for span in spans] == ["ranking/double"] * 2 + ["ranking/breaks"] * 2
        assert [span.parent.span_id for span in spans] == [span.context.span_id for span in above] * 2
        assert [span.context.trace_id for span in spans] == [span.context.trace_id for span in above] * 2
        states = [span.context.trace_state.to_header() for span in spans]
        assert states == ["shop=a;b c,other=~", ""] * 2
        assert [span.attributes["tandem.batch.queries"] for span in spans] == [3, 3, 1, 1]
        assert [span.kind for span in spans] == [SpanKind.SERVER] * 4
        assert [span.status.status_code.name for span in spans] == ["UNSET"] * 2 + ["ERROR"] * 2


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
    assert short.count("\r\n") == 2
    assert long.count("\r\n") == 1
    assert len(long.split()) == 513


class TestOff:
    def test_nothing_is_wrapped(self, world, monkeypatch):
        """The composition root puts together what there would be without any of this."""
        monkeypatch.delenv("OTEL_TRACES_EXPORTER", raising=False)
        assert compose.tracer("gateway") is None
        assert compose.tracer("ranking") is None
        door = Door()
        assert type(doors.front(door)(None, None)) is Front
        stages = [type(stage).__module__ for stage, _ in world.pipeline()._guarded]
        assert stages == ["service.stages"] * 3
        assert type(compose.lane("ranking")(Door().app, None)).__name__ == "Lane"
        proxy = SimpleNamespace(to_async=SimpleNamespace(retrieve=None))
        assert compose.callees(proxy, proxy)

    def test_no_span_is_made(self, world, recommender, monkeypatch):
        """At the door, in a stage or for a call, though the caller sends a traceparent."""
        made = []
        monkeypatch.setattr(sdk.Span, "__init__", lambda *_, **__: made.append(1))
        monkeypatch.setattr("opentelemetry.trace.NonRecordingSpan.__init__", lambda *_, **__: made.append(1))
        door = Door()
        door.recommender = recommender
        client = TestClient(doors.front(door)(None, None))
        assert client.post("/recommend", json={"user_id": WHO}, headers=SAMPLED).status_code == 200
        query = world.run(world.query())
        assert type(query) is Query
        assert query.made_by == Mode.REALTIME
        assert made == []
