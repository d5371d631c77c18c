"""The typed client over both doors: the gRPC door over a fake recommender, and a scripted HTTP server."""

import asyncio
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from recsys.errors import QueryError, StoreUnavailable
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
)
from tests.fakes.fake_recommender import FakeRecommender, RpcServer, slate
from tests.servers.deployment import free_port


class Scripted(ThreadingHTTPServer):
    """Answers with what is next in `script` (status, body, headers), and keeps what came."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.came = [], []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        told = json.loads(body) if body else None
        self.server.came.append((self.command, self.path, told, self.headers.get("x-deadline-ms")))
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


def answer_of(coroutine):
    """What the fake recommender says."""
    return asyncio.run(coroutine)


ASKED = [
    ("recommend", ("you",), {"k": 3, "session": [SessionEvent(item_id=1)], "context": {"device": "mobile"}}),
    ("recommend_many", (["you", 7],), {"filter": {"genre": ["drama"]}, "mode": "batch", "log_impression": False}),
    ("similar", ("drama-1",), {"user_id": 4, "exclude": ["a", 2]}),
    ("explain", ("you", "drama-1"), {"k": 5}),
    ("add_events", ([{"user_id": "you", "item_id": 1, "event_id": "e1"}],), {}),
    ("put_items", ([{"item_id": 1, "categories": [], "columns": {"year": 1990, "genre": "x"}}],), {}),
    ("user", ("a/b?é",), {}),
    ("forget", (7,), {}),
    ("status", (), {}),
]
OVER_HTTP = [
    ("POST", "/recommend", {"user_id": "you", "k": 3, "session": [{"item_id": 1}], "context": {"device": "mobile"}}),
    (
        "POST",
        "/recommend",
        {"user_ids": ["you", 7], "filter": {"genre": ["drama"]}, "mode": "batch", "log_impression": False},
    ),
    ("POST", "/similar", {"item_id": "drama-1", "user_id": 4, "exclude": ["a", 2]}),
    ("POST", "/explain", {"user_id": "you", "item_id": "drama-1", "k": 5}),
    ("POST", "/events", {"events": [{"user_id": "you", "item_id": 1, "event_id": "e1"}]}),
    ("PUT", "/items", {"items": [{"item_id": 1, "categories": [], "columns": {"year": 1990, "genre": "x"}}]}),
    ("GET", "/users/a%2Fb%3F%C3%A9", None),
    ("DELETE", "/users/7", None),
    ("GET", "/status", None),
]


@pytest.mark.parametrize(
    ("asked", "sent"), list(zip(ASKED, OVER_HTTP, strict=True)), ids=[verb for verb, _, _ in ASKED]
)
def test_both_doors_and_both_clients_give_the_same_answer(grpc_client, http_client, web, rpc, asked, sent):
    """Every verb, four ways; over HTTP it is sent where the door takes it, with its deadline."""
    verb, args, more = asked
    answer = getattr(grpc_client, verb)(*args, **more)
    web.script = [(200, answer.model_dump(), {})] * 2

    async def both():
        for url in (f"grpc://{rpc.place}", web.url):
            async with AsyncClient(url) as client:
                assert await getattr(client, verb)(*args, **more) == answer

    asyncio.run(both())
    assert getattr(http_client, verb)(*args, **more) == answer
    for method, path, told, deadline in web.came:
        assert (method, path, told) == sent
        assert 9000 < int(deadline) < 10_000


def test_the_answers_are_the_recommenders(grpc_client, recommender):
    """Nothing is lost between: None, zero, empty and free data come as they went."""
    assert grpc_client.recommend(7).model_dump() == slate(7)
    explained = answer_of(recommender.explain(Event(user_id="you", item_id="drama-1"), 0))
    assert grpc_client.explain("you", "drama-1").model_dump() == explained.model_dump()
    assert grpc_client.user(3).model_dump() == answer_of(recommender.user(3)).model_dump()
    assert grpc_client.status().model_dump() == recommender.status().model_dump()


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
    """The error names the field, at both doors alike."""
    for client in (http_client, grpc_client):
        with pytest.raises(RequestRefused, match="can't be sent") as caught:
            getattr(client, verb)(*args, **more)
        assert (caught.value.code, caught.value.field) == ("invalid", field)
    assert not web.came
    assert not recommender.asked


UNLIKE_THE_PROTO = [
    ("recommend", (True,), {}, "user_id"),
    ("recommend", (2**63,), {}, "user_id"),
    ("recommend", ("you",), {"k": "5"}, "k"),
    ("recommend", ("you",), {"exclude": "abc"}, "exclude"),
    ("recommend", ("you",), {"context": {"device": 1}}, "context"),
    ("add_events", (["click"],), {}, "events.0"),
    ("add_events", ([{"user_id": "you", "item_id": 1.5}],), {}, "events.0.item_id"),
    ("add_events", ([{"user_id": "you", "item_id": 1, "colour": "red"}],), {}, "events.0.colour"),
]


@pytest.mark.parametrize(("verb", "args", "more", "field"), UNLIKE_THE_PROTO)
def test_a_value_that_the_proto_has_no_place_for_is_refused(grpc_client, recommender, verb, args, more, field):
    """Over HTTP the deployment refuses these; a protobuf message can't carry them so far."""
    with pytest.raises(RequestRefused) as caught:
        getattr(grpc_client, verb)(*args, **more)
    assert (caught.value.code, caught.value.field) == ("invalid", field)
    assert not recommender.asked


@pytest.mark.parametrize("user_id", [True, 1.5, "", [1]])
def test_an_id_in_a_path_is_an_id(http_client, web, user_id):
    """As part of a path True would be the user "True", and an empty id another path."""
    for verb in (http_client.user, http_client.forget):
        with pytest.raises(RequestRefused, match="string of 1 to 256 characters or an integer") as caught:
            verb(user_id)
        assert caught.value.field == "user_id"
    assert not web.came


def test_a_field_that_a_newer_deployment_adds_is_ignored(http_client, web):
    """At the top of an answer and inside."""
    newer = slate("you") | {"arm": "b"}
    newer["items"] = [item | {"price": 3} for item in newer["items"]]
    web.script = [(200, newer, {})]
    assert http_client.recommend("you").model_dump() == slate("you")


ERRORS = [
    (422, {"code": "invalid", "message": "No such column.", "field": "context.x"}, RequestRefused),
    (404, {"code": "not_found", "message": "No such item.", "field": "item_id"}, NotFound),
    (500, {"code": "internal", "message": "Internal error; the log has the traceback."}, Broken),
]


@pytest.mark.parametrize(("status", "body", "kind"), ERRORS)
def test_an_error_of_either_door_is_the_same_error(http_client, grpc_client, recommender, web, status, body, kind):
    """Code, sentence and field; the kind says who has to act."""
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


@pytest.mark.parametrize(
    ("status", "body", "kind"), [(502, b"<html>", Broken), (200, b"{}", Broken), (403, b"", RequestRefused)]
)
def test_an_answer_of_somebody_else_is_told_as_such(http_client, web, status, body, kind):
    """A proxy's page is no traceback."""
    web.script = [(status, body, {})]
    with pytest.raises(kind, match="not one of Tandem's"):
        http_client.status()


def test_what_passes_is_tried_again_and_events_count_once(http_client, grpc_client, recommender, web):
    """Over both doors the second try carries the same event ids as the first."""
    away = {"error": {"code": "store", "message": "Redis is away."}}
    web.script = [(503, away, {}), (429, b"", {"retry-after": "0"}), (200, {"stored": 2, "unknown_items": []}, {})]
    events = [Event(user_id="you", item_id=1), {"user_id": "you", "item_id": 2}]
    assert http_client.add_events(events).stored == 2
    first, second, third = [told for _, _, told, _ in web.came]
    assert first == second == third
    ids = {event["event_id"] for event in first["events"]}
    assert len(ids) == 2

    recommender.fault = [StoreUnavailable("Redis is away.")]
    assert grpc_client.add_events(events).stored == 2
    assert recommender.asked[0] == recommender.asked[1]
    assert len({event.event_id for event in recommender.asked[0]}) == 2


def test_a_wrong_request_is_not_tried_again(http_client, web):
    """It would be as wrong the second time."""
    web.script = [(422, {"error": {"code": "invalid", "message": "No.", "field": "k"}}, {})] * 2
    with pytest.raises(RequestRefused):
        http_client.recommend("you")
    assert len(web.came) == 1


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_nobody_there_is_unavailable_within_the_deadline(scheme):
    """After some tries, sync and async alike."""
    url = f"{scheme}://127.0.0.1:{free_port()}"
    with Client(url, deadline=0.3) as client, pytest.raises((Unavailable, DeadlineExceeded)):
        client.status()

    async def ask():
        async with AsyncClient(url) as client:
            await client.status(deadline=0.3)

    with pytest.raises((Unavailable, DeadlineExceeded)):
        asyncio.run(ask())


def test_no_answer_in_time_is_a_deadline_and_the_service_was_told_of_it(grpc_client, recommender):
    """One call's own deadline goes before the client's."""
    recommender.wait = 30
    with pytest.raises(DeadlineExceeded):
        grpc_client.recommend("you", deadline=0.3)
    assert recommender.dues[0] < 0.3


@pytest.mark.parametrize("url", ["127.0.0.1:3000", "ftp://x", "grpc://x", "http://", ""])
def test_an_address_that_is_none_is_told_what_one_is(url):
    """Before anything is sent."""
    with pytest.raises(ValueError, match=r"grpc://host:port"):
        Client(url)


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 1e7, 10**400, "5", True])
def test_a_deadline_that_is_none_is_refused_in_a_sentence(http_client, grpc_client, web, seconds):
    """Of a call and of a client, over both doors; nothing is sent."""
    with Client(web.url, deadline=seconds) as given:
        for say in (given.status, *(lambda c=c: c.status(deadline=seconds) for c in (http_client, grpc_client))):
            with pytest.raises(RequestRefused, match=r"^Send seconds") as caught:
                say()
            assert (caught.value.code, caught.value.field) == ("invalid", "deadline")
    assert not web.came


def test_ids_as_pandas_has_them_are_integers(http_client, web):
    """Wherever an id may stand, as a dictionary and as a model; a boolean is none."""
    web.script = [(200, {"stored": 2, "unknown_items": []}, {})]
    seven, eight = np.int64(7), np.uint8(8)
    event = {"user_id": seven, "item_id": eight, "event_id": "e1"}
    assert http_client.add_events([event, Event(**event)]).stored == 2
    [(_, _, told, _)] = web.came
    assert told == {"events": [{"user_id": 7, "item_id": 8, "event_id": "e1"}] * 2}
    with pytest.raises(RequestRefused):
        http_client.similar(np.bool_(True))


def test_without_grpcio_the_extra_is_named(monkeypatch):
    """For a grpc:// address; http:// needs none."""
    for name in ("tandem_client.rpc", "tandem_client.messages"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(ImportError, match=r"pip install 'tandem-client\[grpc\]'"):
        Client("grpc://127.0.0.1:1")
    Client("http://127.0.0.1:1").close()
