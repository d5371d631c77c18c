"""The HTTP door over a fake recommender, in process and over real sockets, and the OpenAPI document."""

import json
import socket
from contextlib import suppress

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from recsys.errors import StageError
from service.http import bodies
from service.http.app import http_app
from service.http.door import HttpDoor
from service.http.endpoints import Endpoints
from service.http.error_responses import error_response
from service.http.paths import PROBES
from service.recommend.admission import overloaded
from service.schema.errors import MAX_BODY
from service.schema.verb_table import VALUES, VERBS
from service.telemetry.metrics import request_seconds
from tests.fakes.fake_recommender import FakeRecommender
from tests.servers.deployment import free_port
from tests.servers.uvicorn_server import running

SLATE, JSON = {"user_id": "you"}, {"content-type": "application/json"}
POST = b"POST /recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"


def built(endpoints, draining=lambda: False):
    """The app of BentoML: routes of its own behind the door, which is its middleware."""
    routes = [Route(path, lambda _: PlainTextResponse("BentoML")) for path in (*PROBES, "/recommend", "/docs.json")]
    door = Middleware(HttpDoor, ours=http_app(endpoints, None), draining=draining)
    return Starlette(routes=routes, middleware=[door])


@pytest.fixture
def recommender():
    return FakeRecommender()


@pytest.fixture
def app(recommender):
    endpoints = Endpoints()
    endpoints.recommender = recommender
    return built(endpoints)


@pytest.fixture
def client(app):
    with TestClient(app) as client:
        yield client


@pytest.fixture
def port(app):
    """The port of a server as BentoML starts it."""
    config = uvicorn.Config(app, port=free_port(), log_level="critical", server_header=False)
    with running(config):
        yield config.port


def raw(port, data, seconds=5):
    """All bytes of a connection until the server closes it."""
    with socket.create_connection(("127.0.0.1", port), seconds) as opened:
        opened.sendall(data)
        received = b""
        while part := opened.recv(1 << 16):
            received += part
    return received


def test_only_the_probes_reach_bentoml(client):
    """The verbs are answered before BentoML's routes, its pages are not found, and a probe takes only GET and HEAD."""
    assert client.post("/recommend", json=SLATE).json()["user_id"] == "you"
    assert client.get("/docs.json").json()["error"]["code"] == "not_found"
    assert [client.get(path).text for path in PROBES] == ["BentoML"] * len(PROBES)
    refused = [client.post(path) for path in PROBES]
    assert {(answer.status_code, answer.headers["allow"]) for answer in refused} == {(405, "GET, HEAD")}
    assert {answer.json()["error"]["code"] for answer in refused} == {"method"}


def test_while_the_process_drains_each_answer_closes_its_connection():
    """Clients then connect to another process. The probes close their connections too."""
    with TestClient(built(Endpoints(), draining=lambda: True)) as client:
        assert [client.get(path).headers["connection"] for path in ("/status", "/readyz")] == ["close"] * 2


def test_a_full_recommender_answers_429_before_the_body_is_parsed(client, recommender):
    """Also for a body that is not JSON. Verbs that make no slate are answered."""
    recommender.full = True
    answer, expected = client.post("/recommend", content=b"{"), error_response(overloaded())
    assert (answer.status_code, answer.json()) == (429, json.loads(expected.body))
    assert answer.headers["retry-after"] == expected.headers["retry-after"]
    assert recommender.requests == []
    assert client.get("/status").status_code == 200


def test_every_answer_is_counted_by_its_status(client, recommender):
    """Slates, errors of the request, errors of the service, and refusals before the body is parsed."""

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


def test_every_answer_has_the_security_headers(port):
    """Slates, errors and probes. No answer names the server or can be read by a page of another origin."""
    preflight = {"origin": "http://evil", "access-control-request-method": "POST"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        answers = [client.post("/recommend", json=SLATE), client.get("/none"), client.get("/readyz")]
        answers += [client.options("/recommend", headers=preflight), client.get("/status", headers=preflight)]
    for answer in answers:
        names = {name.lower() for name in answer.headers}
        assert {"x-content-type-options", "cache-control"} <= names
        assert not names & {"server", "strict-transport-security"}
        assert not [name for name in names if name.startswith("access-control")]


@pytest.mark.parametrize("protocol", [b"h2c", b"other"])
def test_the_body_of_a_request_with_upgrade_is_no_request(port, protocol):
    """uvicorn does not read such a body and would parse it as the next request. The connection closes after one
    answer.
    """
    body = b"GET /status HTTP/1.1\r\nhost: x\r\n\r\n"
    head = POST + b"connection: upgrade\r\nupgrade: %s\r\ncontent-length: %d\r\n\r\n" % (protocol, len(body))
    with socket.create_connection(("127.0.0.1", port), 5) as opened:
        opened.sendall(head)
        received = opened.recv(1 << 16)
        with suppress(ConnectionError):
            opened.sendall(body)
            while part := opened.recv(1 << 16):
                received += part
    assert received.startswith(b"HTTP/1.1 400")
    assert b"without that header" in received
    assert received.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_sends_a_body_too_large_before_it_reads_gets_413(port, chunked):
    """The rest of the body is dropped before the connection closes, so that no reset loses the answer."""
    body = b" " * (MAX_BODY + (1 << 20))
    content = (body[start : start + 65536] for start in range(0, len(body), 65536)) if chunked else body
    answer = httpx.post(f"http://127.0.0.1:{port}/recommend", content=content, headers=JSON)
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    assert answer.json()["error"]["code"] == "too_large"


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb.has_body], ids=lambda verb: verb.name)
def test_each_verb_has_a_limit_of_its_own(port, verb):
    """A body of more bytes is refused by its content-length, and the error names the limit."""
    head = f"{verb.method} {verb.path.format(user_id='u')} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", port), 5) as opened:
        opened.sendall(f"{head}content-length: {verb.most_bytes + 1}\r\n\r\n".encode())
        answer = b""
        while b"}" not in answer:
            answer += opened.recv(1 << 16)
    assert answer.startswith(b"HTTP/1.1 413")
    assert f"larger than {verb.most_bytes:,} bytes".encode() in answer


@pytest.mark.parametrize("text", ["", ',[{"', '",,,"', "\\\\"], ids=["", "brackets", "quotes", "backslashes"])
def test_a_body_of_too_many_values_is_refused_before_it_is_validated(client, text):
    """Commas and brackets within texts do not count. Fewer values than the limit get the error of their field."""
    many = {"user_id": text, "exclude": [text] * VALUES}
    answer = client.post("/recommend", content=json.dumps(many), headers=JSON)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert f"more than {VALUES:,} values" in answer.json()["error"]["message"]
    fewer = {"user_id": "u", "exclude": [f"{text}x"] * (VALUES - 10)}
    answer = client.post("/recommend", content=json.dumps(fewer), headers=JSON)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "exclude")
    texts = {"user_id": "u", "exclude": [(text * 20 + "x" * 20)[:200]] * 1_000}
    assert client.post("/recommend", content=json.dumps(texts), headers=JSON).status_code == 200


@pytest.mark.parametrize("head", [POST + b"content-length: 100\r\n\r\n{", CHUNKED + b"1\r\n{\r\n"])
def test_a_body_that_never_ends_gets_408(port, monkeypatch, head):
    """The connection is closed."""
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.3)
    answer = raw(port, head)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"code": "timeout"' in answer
    assert answer.count(b"connection: close") == 1
