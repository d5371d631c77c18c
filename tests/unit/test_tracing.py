"""What a trace shows: requests at both doors, stages, and the calls that were made for them."""

import asyncio
import time
from contextlib import suppress

import grpc
import numpy as np
import pytest
from opentelemetry.sdk import trace as sdk
from opentelemetry.trace import SpanKind, StatusCode
from starlette.applications import Starlette
from starlette.testclient import TestClient

from recsys.errors import QueryError, StageError
from service import doors, wiring
from service.backends.client import BackendClient
from service.grpc.tandem.v1 import recommender_pb2 as pb
from service.grpc.tandem.v1.recommender_pb2_grpc import RecommenderStub
from service.http.app import http_app
from service.http.endpoints import Endpoints
from service.recommend.query import Query
from service.schema import Mode
from service.settings import Settings
from service.telemetry import tracing
from service.telemetry.server_spans import BackendSpans, HttpSpans
from service.verbs.calls import Calls
from tests.backend_server import Server, rows
from tests.fake_recommender import FakeRecommender, RpcServer
from tests.traces import ABOVE, SAMPLED, TRACE, UNSAMPLED, WHO, Traces
from tests.whole_path import World


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
    """The app of the HTTP door."""
    endpoints = Endpoints()
    endpoints.calls = Calls(recommender)
    app = http_app(endpoints, None)
    return TestClient(HttpSpans(app, traces.tracer, app.routes), raise_server_exceptions=False)


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
        """A request that comes while the recommender is full."""
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
        server = RpcServer(recommender, tracer=traces.tracer)
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


class TestBackend:
    def test_a_call_is_a_span_for_each_request(self, tmp_path, traces):
        """Below the stage's; one for which nobody is sampled has none, and one that breaks says so."""
        path = tmp_path / "socket"

        def add_spans(service):
            service.add_asgi_middleware(BackendSpans, tracer=traces.tracer, service="ranking")

        async def scene():
            client = BackendClient(f"file://{path}", 5.0, tracing.headers)
            await client.call("double", rows(2))
            assert traces.taken() == ()
            stated = SAMPLED | {"tracestate": "shop=a;b c,other=~"}
            with traces.tracer.request("one", stated, {}) as one, traces.tracer.request("two", {}, {}) as two:
                token = tracing._carried.set([one, two])
                np.testing.assert_array_equal(await client.call("double", rows(3)), 2 * rows(3))
                with suppress(StageError):
                    await client.call("breaks", rows(1))
                tracing._carried.reset(token)
            await client.close()
            return one, two

        with Server({"uds": str(path)}, add=add_spans):
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


class TestOff:
    def test_nothing_is_wrapped(self, world, monkeypatch):
        """The composition root puts together what there would be without any of this."""
        monkeypatch.delenv("OTEL_TRACES_EXPORTER", raising=False)
        assert wiring.tracer("gateway") is None
        assert wiring.tracer("ranking") is None
        assert type(doors.Doors().http_app()) is Starlette
        stages = [type(stage).__module__ for stage, _ in world.pipeline()._guarded]
        assert stages == ["service.recommend.stages"] * 3
        app = http_app(Endpoints(), None)
        assert wiring.backend(app, "ranking")._app is app
        away = Settings(retrieval_url="http://retrieval", ranking_url="http://ranking")
        assert [client._headers for client in wiring.clients(None, away)] == [None, None]

    def test_no_span_is_made(self, world, recommender, monkeypatch):
        """At the door, in a stage or for a call, though the caller sends a traceparent."""
        made = []
        monkeypatch.setattr(sdk.Span, "__init__", lambda *_, **__: made.append(1))
        monkeypatch.setattr("opentelemetry.trace.NonRecordingSpan.__init__", lambda *_, **__: made.append(1))
        gateway = doors.Doors()
        gateway.connect(recommender, Settings(grpc_port=0))
        client = TestClient(gateway.http_app())
        assert client.post("/recommend", json={"user_id": WHO}, headers=SAMPLED).status_code == 200
        query = world.run(world.query())
        assert type(query) is Query
        assert query.made_by == Mode.REALTIME
        assert made == []
