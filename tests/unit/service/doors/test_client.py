"""The typed client over both doors: gRPC over a fake recommender, and HTTP over a server with scripted answers."""

import asyncio
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import uvicorn

from recsys.errors import QueryError, StoreUnavailable
from service.http.app import http_app
from service.http.door import bounded
from service.http.endpoints import Endpoints
from service.schema.verb_table import VERBS
from tandem_client import (
    AsyncClient,
    Broken,
    Client,
    ClientError,
    DeadlineExceeded,
    Event,
    NotFound,
    RequestRefused,
    SessionEvent,
    Unavailable,
    calls,
)
from tests.fakes.fake_recommender import ANSWERS, FakeRecommender, RpcServer
from tests.servers.deployment import free_port
from tests.servers.uvicorn_server import running


class Scripted(ThreadingHTTPServer):
    """Answers with the next entry of `script` (status, body, headers), and records the bodies of requests."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.received = [], []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.received.append(json.loads(body) if body else None)
        status, body, headers = self.server.script.pop(0)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "content-length": len(data)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815  # http.server names them so

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def rpc():
    with RpcServer(FakeRecommender()) as running:
        yield running


@pytest.fixture
def recommender(rpc):
    rpc.recommender.__init__()
    return rpc.recommender


@pytest.fixture
def grpc_client(rpc, recommender):
    with Client(f"grpc://{rpc.place}") as opened:
        yield opened


@pytest.fixture
def web():
    with Scripted() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture
def http_client(web):
    with Client(web.url) as opened:
        yield opened


@pytest.fixture(scope="module")
def url(rpc):
    """The HTTP door over the same recommender."""
    endpoints = Endpoints()
    endpoints.recommender = rpc.recommender
    app = bounded(http_app(endpoints, None), lambda: False)
    with running(uvicorn.Config(app, port=free_port(), log_level="critical")) as server:
        yield f"http://127.0.0.1:{server.config.port}"


CALLS = {
    "recommend": (("you",), {"k": 3, "session": [SessionEvent(item_id=1)], "context": {"device": "mobile"}}),
    "recommend_many": ((["you", 7],), {"filter": {"genre": ["drama"]}, "mode": "batch", "log_impression": False}),
    "similar": (("drama-1",), {"user_id": 4, "exclude": ["a", 2]}),
    "explain": (("you", "drama-1"), {"k": 5}),
    "rank": ((["a", 2],), {"user_id": 4}),
    "add_events": (([{"user_id": "you", "item_id": 1, "event_id": "e1"}],), {}),
    "put_items": (([{"item_id": 1, "categories": [], "columns": {"year": 1990, "genre": "x"}}],), {}),
    "item": (("a/b?é",), {}),
    "forget_item": (("x",), {}),
    "user": (("a/b?é",), {}),
    "forget": (("you",), {}),
    "merge": (("a/b?é", 7), {}),
    "status": ((), {}),
}


@pytest.mark.parametrize("name", CALLS)
def test_both_doors_and_both_clients_return_the_recommenders_answer(rpc, recommender, url, name):
    """Every verb, four times: the request and the deadline arrive, and each field of the answer is unchanged."""
    args, more = CALLS[name]

    async def ask(place):
        async with AsyncClient(place) as client:
            return await getattr(client, name)(*args, **more)

    found = []
    for place in (f"grpc://{rpc.place}", url):
        with Client(place) as client:
            found += [getattr(client, name)(*args, **more), asyncio.run(ask(place))]
    assert recommender.requests == [recommender.requests[0]] * 4
    verb = next(verb for verb in VERBS if verb.rpc == getattr(calls, name)(*args).verb.rpc)
    answer = ANSWERS[verb](recommender.requests[0])
    expected = answer.slates[0] if name == "recommend" else answer
    assert [each.model_dump() for each in found] == [expected.model_dump()] * 4
    assert all(8 < due < 10 for due in recommender.dues)


UNSENDABLE = [
    ("recommend", (object(),), {}, "user_id"),
    ("recommend", ("you",), {"session": [{"item_id": 1, "timestamp": float("nan")}]}, "session.0.timestamp"),
    ("recommend", ("you\ud800",), {}, "user_id"),
    ("add_events", ([{"user_id": "you", "item_id": b"x"}],), {}, "events.0.item_id"),
]


@pytest.mark.parametrize(("verb", "args", "more", "field"), UNSENDABLE, ids=[case[3] for case in UNSENDABLE])
def test_a_value_that_json_does_not_have_is_refused_before_it_is_sent(
    http_client, grpc_client, web, recommender, verb, args, more, field
):
    """The error names the field, the same over HTTP and gRPC."""
    for client in (http_client, grpc_client):
        with pytest.raises(RequestRefused, match="can't be sent") as caught:
            getattr(client, verb)(*args, **more)
        assert (caught.value.code, caught.value.field) == ("invalid", field)
    assert not web.received
    assert not recommender.requests


ERRORS = [
    (422, {"code": "invalid", "message": "No such column.", "field": "context.x"}, RequestRefused),
    (404, {"code": "not_found", "message": "No such item.", "field": "item_id"}, NotFound),
    (500, {"code": "internal", "message": "Internal error; the log has the traceback."}, Broken),
]


@pytest.mark.parametrize(("status", "body", "kind"), ERRORS)
def test_an_error_of_either_door_is_the_same_error(http_client, grpc_client, recommender, web, status, body, kind):
    """Code, sentence and field are equal."""
    web.script = [(status, {"error": body}, {})]
    raised = QueryError(body["message"], body.get("field", ""), body["code"])
    recommender.fault = [ZeroDivisionError() if kind is Broken else raised]
    for client in (http_client, grpc_client):
        with pytest.raises(ClientError) as caught:
            client.recommend("you")
        assert type(caught.value) is kind
        assert (caught.value.code, str(caught.value), caught.value.field) == (
            body["code"],
            body["message"],
            body.get("field"),
        )


def test_a_failure_that_may_pass_is_retried_with_the_same_event_ids(http_client, grpc_client, recommender, web):
    """Over both doors, so that events count once."""
    away = {"error": {"code": "store", "message": "Redis is away."}}
    web.script = [(503, away, {}), (429, b"", {"retry-after": "0"}), (200, {"stored": 2, "unknown_items": []}, {})]
    events = [Event(user_id="you", item_id=1), {"user_id": "you", "item_id": 2}]
    assert http_client.add_events(events).stored == 2
    first, second, third = web.received
    assert first == second == third
    ids = {event["event_id"] for event in first["events"]}
    assert len(ids) == 2

    recommender.fault = [StoreUnavailable("Redis is away.")]
    assert grpc_client.add_events(events).stored == 2
    assert recommender.requests[0] == recommender.requests[1]
    assert len({event.event_id for event in recommender.requests[0].events}) == 2


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_without_a_server_the_call_is_unavailable_within_the_deadline(scheme):
    """After some tries, with both clients."""
    url = f"{scheme}://127.0.0.1:{free_port()}"
    with Client(url, deadline=0.3) as client, pytest.raises((Unavailable, DeadlineExceeded)):
        client.status()

    async def ask():
        async with AsyncClient(url) as client:
            await client.status(deadline=0.3)

    with pytest.raises((Unavailable, DeadlineExceeded)):
        asyncio.run(ask())


def test_a_deadline_that_passes_is_an_error_and_is_sent_to_the_service(grpc_client, recommender):
    """The deadline of the call replaces the deadline of the client."""
    recommender.wait = 30
    with pytest.raises(DeadlineExceeded):
        grpc_client.recommend("you", deadline=0.3)
    assert recommender.dues[0] < 0.3


def test_without_grpcio_the_extra_is_named(monkeypatch):
    """For a grpc:// address. An http:// address needs no extra."""
    for name in ("tandem_client.rpc", "tandem_client.messages"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(ImportError, match=r"pip install 'tandem-client\[grpc\]'"):
        Client("grpc://127.0.0.1:1")
    Client("http://127.0.0.1:1").close()
