"""What strangers try at the HTTP door, a few of each: the connection, the front and the door, without a deployment."""

import asyncio
import json
import socket
import time
from contextlib import contextmanager

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from uvicorn.protocols.http import auto

from service.ahead import Ahead
from service.edge import bounds, connection
from service.edge.connection import GuardedConnection
from service.front import Front
from service.http import headers
from service.http.app import PAGE, Door
from service.schema.verdict import MAX_BODY
from tests.deployment import free_port
from tests.edge import attacks
from tests.edge.smuggling import PROBES
from tests.fake_recommender import FakeRecommender
from tests.uvicorn_server import running

FEW = 5
GET = b"GET /status HTTP/1.1\r\nhost: x\r\n\r\n"
JSON = {"content-type": "application/json"}
GZIP = JSON | {"content-encoding": "gzip"}
PUT = b"PUT /items HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


@contextmanager
def served(**more):
    """The gateway's HTTP server over a recommender that says what it is told to; uvicorn's server and its port."""
    door = Door()
    door.recommender = FakeRecommender()
    probes = [Route(path, lambda _: PlainTextResponse("probe")) for path in ("/livez", "/readyz")]
    app = Starlette(routes=probes, middleware=[Middleware(Ahead, make=lambda _, behind: Front(door, behind))])
    config = uvicorn.Config(app, port=free_port(), log_level="critical", server_header=False, **more)
    with running(config) as server:
        yield server


@pytest.fixture(scope="module")
def server():
    """With a tenth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HEAD_SECONDS", "BODY_SECONDS", "READ_SECONDS", "LOOK_SECONDS", "LINGER_SECONDS"):
            patch.setattr(bounds, name, getattr(bounds, name) / 10)
        patch.setattr(auto, "AutoHTTPProtocol", auto.AutoHTTPProtocol)
        patch.setattr(GuardedConnection, "most_connections", 1000)
        connection.guard(1000)
        with served() as running:
            yield running


@pytest.fixture
def port(server):
    return server.config.port


@pytest.fixture
def client(port):
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as opened:
        yield opened


def raw(port, data, seconds=5):
    """All that comes back until the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), seconds) as opened:
        opened.sendall(data)
        said = b""
        while part := opened.recv(1 << 16):
            said += part
    return said


@pytest.mark.parametrize("name", [name for name in attacks.ATTACKS if name != "smuggling"])
def test_whoever_is_slow_or_large_is_closed(server, port, name):
    """All of them, in a tenth of ten seconds and a little; nothing is left of them."""
    told = asyncio.run(attacks.ATTACKS[name](port, FEW))
    assert told.closed == FEW
    assert told.slowest < 3
    end = time.monotonic() + 5
    while server.server_state.connections or server.server_state.tasks:
        assert time.monotonic() < end, "something is kept"
        time.sleep(0.05)


@pytest.mark.parametrize("name", PROBES)
def test_nothing_is_smuggled(port, name):
    """What is hidden behind a request that can be cut in two ways is not answered; the connection is closed."""
    seconds, said = asyncio.run(attacks._held(port, attacks._once(PROBES[name])))
    assert seconds is not None
    assert b"smuggled" not in said
    assert b"HTTP/1.1 5" not in said


def test_a_trailer_is_no_header(port):
    """Behind a body it would be added to those that a verb reads: here it is as if it had not come."""
    trailer = b"x-deadline-ms: nonsense\r\n"
    chunks = b'transfer-encoding: chunked\r\n\r\n14\r\n{"user_id": "you"}  \r\n0\r\n'
    head = b"POST /recommend HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    assert raw(port, head + chunks + trailer + b"\r\n").startswith(b"HTTP/1.1 200")


def test_what_was_asked_before_a_refusal_is_answered(port):
    """In order: the answer, then the refusal."""
    said = raw(port, GET + b"\x00garbage\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 200")
    assert said.index(b'"ready":true') < said.index(b"HTTP/1.1 400")
    assert said.count(b"connection: close") == 1


def test_requests_sent_ahead_are_answered_up_to_a_number(port):
    """In order; one more is refused, and those before it have their answers."""
    said = raw(port, GET * (bounds.AHEAD + 1))
    assert said.count(b"HTTP/1.1 200") == bounds.AHEAD + 1
    said = raw(port, GET * (bounds.AHEAD + 3))
    assert said.count(b"HTTP/1.1 200") >= bounds.AHEAD
    assert said.count(b"HTTP/1.1 429") == 1


def test_a_body_that_is_too_large_is_refused_by_its_head(port, client):
    """Before a byte of it is read, by a sentence; one as large as may be is read."""
    said = raw(port, PUT + b"content-length: %d\r\n\r\n" % (MAX_BODY + 1))
    assert said.startswith(b"HTTP/1.1 413")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["code"] == "too_large"
    assert (
        client.put("/items", content=b" " * MAX_BODY, headers={"content-type": "application/json"}).status_code == 400
    )


def test_a_packed_body_is_refused(client):
    """By its header: none is unpacked."""
    told = client.post("/recommend", content=b"", headers=GZIP)
    assert told.status_code == 415
    assert "gzip" in told.json()["error"]["message"]


@pytest.mark.parametrize("head", [b"x-a: " + b"b" * bounds.HEAD_BYTES + b"\r\n", b"a: b\r\n" * (bounds.HEADERS + 1)])
def test_a_head_that_is_too_large_is_refused(port, head):
    """Whole, in one piece; with what is too much."""
    assert raw(port, b"GET /status HTTP/1.1\r\nhost: x\r\n" + head + b"\r\n").startswith(b"HTTP/1.1 431")


def test_the_idlest_makes_way(port, monkeypatch):
    """Where all connections are taken by who says nothing, whoever comes is still answered."""
    monkeypatch.setattr(GuardedConnection, "most_connections", 10)
    silent = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(30)]
    try:
        for _ in range(5):
            assert httpx.get(f"http://127.0.0.1:{port}/status").status_code == 200
        assert silent[0].recv(1) == b""
    finally:
        for each in silent:
            each.close()


def test_large_bodies_have_a_bound_together(server, port, monkeypatch):
    """The oldest that has not come to its end makes way; small ones and a new large one are read."""
    monkeypatch.setattr(GuardedConnection, "most_held", 1 << 20)
    head = PUT + b"content-length: 600000\r\n\r\n"
    halves = []
    for _ in range(6):
        half = socket.create_connection(("127.0.0.1", port), 5)
        half.sendall(head + b" " * 500_000)
        halves.append(half)
        time.sleep(0.02)
    assert halves[0].recv(1 << 10).startswith(b"HTTP/1.1 429")
    whole = httpx.put(f"http://127.0.0.1:{port}/items", content=b" " * 600_000, headers=JSON)
    assert whole.status_code == 400
    for half in halves:
        half.close()


def test_every_answer_has_its_headers(port, client):
    """A slate, an error, a probe and a refusal alike; none names the server or lets another page read it."""
    told = [client.post("/recommend", json={"user_id": "you"}), client.get("/none"), client.get("/readyz")]
    preflight = {"origin": "http://evil", "access-control-request-method": "POST"}
    told += [client.options("/recommend", headers=preflight), client.get("/status", headers=preflight)]
    found = [{name.lower() for name in answer.headers} for answer in told]
    lines = raw(port, b"\x00\r\n\r\n").partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    found.append({line.partition(b":")[0].decode() for line in lines})
    for names in found:
        assert {"x-content-type-options", "cache-control"} <= names
        assert "server" not in names
        assert not [name for name in names if name.startswith("access-control")]
    assert client.get("/status").headers["cache-control"] == "no-store"


def test_the_page_runs_its_own_script_and_no_other(client):
    """Its policy has the hash of what stands in it, and lets nobody frame it; nothing in it would need more."""
    told = client.get("/")
    policy = told.headers["content-security-policy"]
    assert "'unsafe" not in policy
    assert policy.count("'sha256-") == 2
    assert "frame-ancestors 'none'" in policy
    assert policy == headers.of_page(PAGE.read_text())["content-security-policy"]
    assert headers.of_page("<script>1</script>") != headers.of_page("<script>2</script>")
    assert told.headers["referrer-policy"] == "no-referrer"
    for forbidden in ("innerHTML", "insertAdjacentHTML", ' style="', " onclick="):
        assert forbidden not in told.text


def test_what_asks_for_another_protocol_is_answered_in_this_one(port):
    """As if it had not asked, and closed: WebSocket, HTTP/2."""
    for protocol in (b"websocket", b"h2c"):
        said = raw(port, GET[:-2] + b"connection: upgrade\r\nupgrade: " + protocol + b"\r\n\r\n")
        assert said.startswith(b"HTTP/1.1 200")
