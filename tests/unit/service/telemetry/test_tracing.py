"""The spans of odd requests, and no spans while traces are off. `tests/service/doors/test_traces.py` has traces."""

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette.testclient import TestClient

from service import doors, wiring
from service.http.app import http_app
from service.http.endpoints import Endpoints
from service.settings import Settings
from service.telemetry.tracing import ServerSpans
from tests.fakes.fake_recommender import FakeRecommender
from tests.fakes.in_process import InProcessService

WHO = "mary@example.com"


def test_no_span_has_personal_data():
    """Of a path, a query, a body, a header or a method. /metrics has no span."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    endpoints = Endpoints()
    endpoints.recommender = FakeRecommender()
    app = http_app(endpoints, None)
    client = TestClient(ServerSpans(app, provider, app.routes), raise_server_exceptions=False)
    headers = {"user-agent": WHO, "baggage": f"who={WHO}", "tracestate": "shop=a"}
    client.post("/recommend", json={"user_id": WHO})
    client.get(f"/users/{WHO}", headers=headers)
    client.delete(f"/users/{WHO}")
    client.get(f"/nothing/{WHO}?who={WHO}")
    client.request("MARY", "/recommend")
    client.get("/metrics")
    spans = exporter.get_finished_spans()
    names = ["POST /recommend", "GET /users/{user_id}", "DELETE /users/{user_id}", "GET", "HTTP /recommend"]
    assert [span.name for span in spans] == names
    text = "".join(span.to_json() for span in spans).lower()
    assert "mary" not in text
    assert "testclient" not in text  # the client's address


def test_while_traces_are_off_nothing_is_wrapped(tiny_world, monkeypatch):
    """The composition root uses no class of tracing."""
    monkeypatch.delenv("OTEL_TRACES_EXPORTER", raising=False)
    assert wiring.traces_of("gateway") is None
    assert wiring.traces_of("ranking") is None
    assert type(doors.Doors().http_app()) is Starlette
    stages = [type(stage).__module__ for stage, _ in InProcessService(tiny_world[0]).pipeline()._guarded]
    assert stages == ["service.recommend.stages"] * 3
    app = http_app(Endpoints(), None)
    assert wiring.backend(app, "ranking")._app is app
    away = Settings(retrieval_url="http://retrieval", ranking_url="http://ranking")
    assert [client._inject for client in wiring.clients(None, away)] == [None, None]
