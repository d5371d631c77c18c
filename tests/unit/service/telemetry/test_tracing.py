"""No spans while traces are off. `tests/service/doors/test_traces.py` has traces."""

from starlette.applications import Starlette

from service import doors, wiring
from service.http.app import http_app
from service.http.endpoints import Endpoints
from service.settings import Settings
from tests.fakes.in_process import InProcessService


def test_while_traces_are_off_nothing_is_wrapped(tiny_world, monkeypatch):
    """The composition root uses no class of tracing."""
    monkeypatch.delenv("OTEL_TRACES_EXPORTER", raising=False)
    assert wiring.traces_of("gateway") is None
    assert wiring.traces_of("ranking") is None
    assert type(doors.Doors().http_app()) is Starlette
    stages = [type(stage).__module__ for stage in InProcessService(tiny_world[0]).pipeline()._stages]
    assert stages == ["service.recommend.stages"] * 3
    app = http_app(Endpoints(), None)
    assert wiring.backend(app, "ranking")._app is app
    away = Settings(retrieval_url="http://retrieval", ranking_url="http://ranking")
    assert [client._inject for client in wiring.clients(None, away)] == [None, None]
