"""What the server asks first."""

import json
import socket
from contextlib import contextmanager
from http.client import HTTPConnection

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from recsys.errors import NoGeneration, StageError, StoreUnavailable
from service.admission import overloaded
from service.ahead import Ahead
from service.front import Front
from service.http import bodies
from service.http.app import Door, error_response
from service.telemetry.metrics import request_seconds
from tests.deployment import free_port
from tests.fake_recommender import FakeRecommender
from tests.uvicorn_server import running

SLATE, JSON = {"user_id": "you"}, {"content-type": "application/json"}


class Sees:
    """A middleware of BentoML's, which tells whom it sees."""

    def __init__(self, app, seen):
        self._app, self._seen = app, seen

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            self._seen.append(scope["path"])
        await self._app(scope, receive, send)


def ahead(door):
    """As the gateway has it."""
    return Middleware(Ahead, make=lambda _, behind: Front(door, behind))


@pytest.fixture
def recommender():
    return FakeRecommender()


@pytest.fixture
def seen():
    """What BentoML's own middleware saw."""
    return []


@pytest.fixture
def app(recommender, seen):
    """As BentoML builds it: its middleware first, then what it was given."""
    door = Door()
    door.recommender = recommender
    probes = [Route(path, lambda _: PlainTextResponse("probe")) for path in ("/readyz", "/recommend")]
    return Starlette(routes=probes, middleware=[Middleware(Sees, seen=seen), ahead(door)])


@pytest.fixture
def client(app):
    with TestClient(app) as client:
        yield client


def test_verbs_pass_by_what_stands_around_them(client, seen):
    """The probes do not."""
    assert client.post("/recommend", json=SLATE).json()["user_id"] == "you"
    assert client.get("/schema.json").status_code == 404
    assert client.get("/readyz").text == "probe"
    assert seen == ["/readyz"]


def test_where_too_many_are_under_way_nothing_is_parsed(client, recommender):
    """The same word that the door has for it, of a body that is none, too; what makes no slate is answered."""
    recommender.full = True
    told, expected = client.post("/recommend", content=b"{"), error_response(overloaded())
    assert (told.status_code, told.json()) == (429, json.loads(expected.body))
    assert told.headers["retry-after"] == expected.headers["retry-after"]
    assert client.get("/status").status_code == 200
    assert recommender.asked == []


@pytest.mark.parametrize("fault", [NoGeneration("Not yet."), StoreUnavailable("Away."), StageError("Cancelled.")])
@pytest.mark.parametrize("path", ["/recommend", "/similar", "/explain"])
def test_every_503_says_when_to_come_back(client, recommender, path, fault):
    """In whole seconds, as the OpenAPI document has it."""
    recommender.fault = [fault]
    asked = {"/recommend": SLATE, "/similar": {"item_id": "a"}, "/explain": SLATE | {"item_id": "a"}}[path]
    told = client.post(path, json=asked)
    assert (told.status_code, told.headers["retry-after"]) == (503, "1")


def test_every_answer_is_counted_by_its_status(client, recommender):
    """What BentoML counts no more, since it sees none of it: right ones, wrong ones, ours, and what is turned away."""

    def counted(code):
        samples = request_seconds.labels("recommend", code).collect()[0].samples
        return next(sample.value for sample in samples if sample.name.endswith("_count"))

    codes = (200, 422, 400, 503, 500, 429)
    before = [counted(code) for code in codes]
    client.post("/recommend", json=SLATE)
    client.post("/recommend", json={"k": 0})
    client.post("/recommend", content=b"{")
    for fault in (StageError("Cancelled."), ZeroDivisionError()):
        recommender.fault = [fault]
        client.post("/recommend", json=SLATE)
    recommender.full = True
    client.post("/recommend", json=SLATE)
    assert [counted(code) for code in codes] == [count + 1 for count in before]


@contextmanager
def served(app):
    """Over a real socket; the port."""
    config = uvicorn.Config(app, port=free_port(), log_level="error")
    with running(config):
        yield config.port


def test_a_connection_outlives_a_refusal(app, recommender):
    """The body that was not read does not stand in the way of the next request."""
    sockets, told = set(), []
    with served(app) as port:
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        for full in (True, False, True, False):
            recommender.full = full
            connection.request("POST", "/recommend", json.dumps(SLATE | {"exclude": ["x" * 99] * 900}), JSON)
            sockets.add(connection.sock)
            answer = connection.getresponse()
            told.append(answer.status)
            answer.read()
        connection.close()
    assert told == [429, 200, 429, 200]
    assert len(sockets) == 1


@pytest.mark.parametrize("path", ["/recommend", "/similar"])
def test_a_body_that_never_ends_is_refused(app, monkeypatch, path):
    """With a word, and the connection is closed: nobody holds one for ever."""
    monkeypatch.setattr(bodies, "READ_SECONDS", 0.3)
    with served(app) as port, socket.create_connection(("127.0.0.1", port), 10) as half:
        half.sendall(f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{".encode())
        answer = b""
        while chunk := half.recv(4096):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"code": "timeout"' in answer


def test_before_there_is_a_recommender_the_door_says_so():
    """No traceback of the front's own."""
    app = Starlette(middleware=[ahead(Door())])
    with TestClient(app) as client:
        assert client.post("/recommend", json=SLATE).json()["error"]["code"] == "not_ready"
