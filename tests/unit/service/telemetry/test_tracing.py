"""The spans of requests at both doors and of calls of a backend. `tests/service/test_traces.py` has traces."""

import asyncio
import time
from contextlib import suppress

import grpc
import numpy as np
import pytest
from opentelemetry import propagate
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
from service.settings import Settings
from service.telemetry.tracing import ServerSpans
from tests.fakes.fake_recommender import FakeRecommender, RpcServer
from tests.fakes.in_process import InProcessService
from tests.fakes.traces import SAMPLED, WHO, Traces
from tests.servers.backend_server import BackendServer, rows


@pytest.fixture
def traces():
    return Traces()


@pytest.fixture(scope="module")
def world(tiny_world):
    return InProcessService(tiny_world[0])


@pytest.fixture
def recommender():
    return FakeRecommender()


@pytest.fixture
def client(recommender, traces):
    """The app of the HTTP door."""
    endpoints = Endpoints()
    endpoints.recommender = recommender
    app = http_app(endpoints, None)
    return TestClient(ServerSpans(app, traces.provider, app.routes), raise_server_exceptions=False)


def outcome(span):
    """Whether a span is an error; fails if the span has the text of an error."""
    assert not span.events, span.events[0].attributes
    assert span.status.description is None
    return span.status.status_code == StatusCode.ERROR


class TestHttp:
    @pytest.mark.parametrize(
        ("fault", "failed"),
        [
            (QueryError("No.", "k"), False),
            (QueryError("Too many.", code="overloaded"), False),
            (StageError("Gone."), True),
            (ZeroDivisionError("secret"), True),
        ],
    )
    def test_only_an_error_of_the_server_is_an_error(self, client, recommender, traces, fault, failed):
        """A 4xx is no error of the span. The text of an error is never recorded."""
        recommender.fault = [fault]
        client.post("/recommend", json={"user_id": WHO})
        assert outcome(traces.one()) == failed

    def test_no_span_has_personal_data(self, client, traces):
        """Of a path, a query, a body, a header or a method. /metrics has no span."""
        headers = {"user-agent": WHO, "baggage": f"who={WHO}", "tracestate": "shop=a"}
        client.post("/recommend", json={"user_id": WHO})
        client.get(f"/users/{WHO}", headers=headers)
        client.delete(f"/users/{WHO}")
        client.get(f"/nothing/{WHO}?who={WHO}")
        client.request("MARY", "/recommend")
        client.get("/metrics")
        spans = traces.taken()
        names = ["POST /recommend", "GET /users/{user_id}", "DELETE /users/{user_id}", "GET", "HTTP /recommend"]
        assert [span.name for span in spans] == names
        text = "".join(span.to_json() for span in spans).lower()
        assert "mary" not in text
        assert "testclient" not in text  # the client's address


class TestRpc:
    @pytest.fixture
    def stub(self, recommender, traces):
        server = RpcServer(recommender, traces=traces.provider)
        with server, grpc.insecure_channel(server.place) as channel:
            yield RecommenderStub(channel)

    def call(self, stub, traces, timeout=10):
        """The span of a call. The span may end after the answer was sent."""
        with suppress(grpc.RpcError):
            stub.Recommend(pb.RecommendRequest(user_id=pb.Id(text=WHO)), metadata=SAMPLED.items(), timeout=timeout)
        end = time.monotonic() + 10
        while not traces.spans and time.monotonic() < end:
            time.sleep(0.01)
        return traces.one()

    @pytest.mark.parametrize(
        ("fault", "code", "failed"),
        [
            (QueryError("No.", "k"), "INVALID_ARGUMENT", False),
            (QueryError("Too many.", code="overloaded"), "RESOURCE_EXHAUSTED", False),
            (StageError("Gone."), "UNAVAILABLE", True),
            (ZeroDivisionError("secret"), "INTERNAL", True),
        ],
    )
    def test_only_an_error_of_the_server_is_an_error(self, stub, recommender, traces, fault, code, failed):
        """The same as over HTTP."""
        recommender.fault = [fault]
        span = self.call(stub, traces)
        assert span.attributes["rpc.response.status_code"] == code
        assert outcome(span) == failed

    def test_a_deadline_that_passes_is_an_error(self, stub, recommender, traces):
        """Although the client cancelled the call."""
        recommender.wait = 30
        span = self.call(stub, traces, timeout=0.5)
        assert span.attributes["rpc.response.status_code"] == "DEADLINE_EXCEEDED"
        assert outcome(span)


def test_a_call_of_a_backend_is_a_span_below_the_current_one(tmp_path, traces):
    """With the caller's `tracestate`. A call outside a trace has no span, and a call that fails is an error."""
    path = tmp_path / "socket"

    async def scene():
        client = BackendClient(f"file://{path}", 5.0, propagate.inject)
        await client.call("double", rows(2))
        assert traces.taken() == ()
        with traces.request("batch", SAMPLED | {"tracestate": "shop=a;b c"}) as batch:
            np.testing.assert_array_equal(await client.call("double", rows(3)), 2 * rows(3))
            with suppress(StageError):
                await client.call("breaks", rows(1))
        await client.close()
        return batch.get_span_context()

    with BackendServer(
        {"uds": str(path)}, add=lambda service: service.add_asgi_middleware(ServerSpans, provider=traces.provider)
    ):
        above = asyncio.run(scene())
    double, breaks = [span for span in traces.taken() if span.name != "batch"]
    for span, name in ((double, "POST /double"), (breaks, "POST /breaks")):
        assert (span.name, span.kind) == (name, SpanKind.SERVER)
        assert (span.context.trace_id, span.parent.span_id) == (above.trace_id, above.span_id)
        assert span.context.trace_state.to_header() == "shop=a;b c"
    assert [outcome(span) for span in (double, breaks)] == [False, True]


class TestOff:
    def test_nothing_is_wrapped(self, world, monkeypatch):
        """The composition root uses no class of tracing."""
        monkeypatch.delenv("OTEL_TRACES_EXPORTER", raising=False)
        assert wiring.traces_of("gateway") is None
        assert wiring.traces_of("ranking") is None
        assert type(doors.Doors().http_app()) is Starlette
        stages = [type(stage).__module__ for stage, _ in world.pipeline()._guarded]
        assert stages == ["service.recommend.stages"] * 3
        app = http_app(Endpoints(), None)
        assert wiring.backend(app, "ranking")._app is app
        away = Settings(retrieval_url="http://retrieval", ranking_url="http://ranking")
        assert [client._inject for client in wiring.clients(None, away)] == [None, None]
