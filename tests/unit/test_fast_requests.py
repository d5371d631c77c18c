"""A request for a slate whose head was judged before is answered where it was read, with the same bytes as ever."""

import asyncio
import json
import re
import socket
import time

import pytest
import uvicorn

from recsys.errors import NoGeneration, QueryError, StoreUnavailable
from service import doors, fast_requests
from service.edge import bounds
from service.edge.connection import GuardedConnection
from service.fast_requests import FastRequests
from service.front import Front
from service.http.app import Door
from tests.fake_recommender import FakeRecommender
from tests.uvicorn_server import running

BODY = b'{"user_id": "you"}'


@pytest.fixture
def recommender():
    return FakeRecommender()


@pytest.fixture
def came():
    """What came by uvicorn's way."""
    return []


@pytest.fixture
def server(recommender, came):
    """The HTTP door alone, as the gateway has it."""
    door = Door()
    door.recommender = recommender
    fast = FastRequests(door)
    front = Front(door, door.app)

    class Connection(GuardedConnection):
        """With a fast path of its own."""

        fast_path = fast

    async def noted(scope, receive, send):
        if scope["type"] == "http":
            came.append(scope["path"])
        await front(scope, receive, send)

    config = uvicorn.Config(
        noted, port=0, http=Connection, log_level="critical", lifespan="off", server_header=False, timeout_keep_alive=1
    )
    with running(config) as started:
        started.fast = fast
        yield started


@pytest.fixture
def connect(server):
    """Opens connections."""
    opened = []

    def anew():
        line = socket.create_connection(server.servers[0].sockets[0].getsockname(), timeout=5)
        opened.append(line)
        return line

    yield anew
    for line in opened:
        line.close()


def request(body=BODY, *more, first=b"POST /recommend HTTP/1.1"):
    """As a client sends it."""
    headers = [first, b"host: x", b"content-type: application/json", b"content-length: %d" % len(body), *more]
    return b"\r\n".join(headers) + b"\r\n\r\n" + body


def told(line):
    """One whole answer, without its date."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = line.recv(1 << 16)
        assert part, data
        data += part
    size = data.index(b"\r\n\r\n") + 4 + int(re.search(rb"content-length: (\d+)", data)[1])
    while len(data) < size:
        data += line.recv(1 << 16)
    assert len(data) == size
    return re.sub(rb"date: [^\r]*\r\n", b"", data)


def test_a_head_is_judged_once(connect, came, recommender):
    """By uvicorn; whoever says the same again, on whatever connection, has it answered at once."""
    first, second = connect(), connect()
    first.sendall(request())
    slow = told(first)
    for line in (first, second, first):
        line.sendall(request(b'{"user_id": "him"}'))
        assert told(line) == slow.replace(b'"you"', b'"him"')
    assert came == ["/recommend"]
    assert [each.user_id for each in recommender.asked] == ["you", "him", "him", "him"]
    assert slow.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"x-content-type-options: nosniff\r\n" in slow
    assert json.loads(slow.partition(b"\r\n\r\n")[2])["user_id"] == "you"


def learnt(connect):
    """A connection whose head is known."""
    line = connect()
    line.sendall(request())
    told(line)
    return line


@pytest.mark.parametrize(
    ("body", "more", "fault"),
    [
        (b'{"user_id": 1', (), None),
        (b'{"user_id": "y", "k": -1}', (), None),
        (b"\xff\xfe", (), None),
        (b"", (), None),
        (BODY, (b"x-deadline-ms: soon",), None),
        (BODY, (b"x-deadline-ms: 5", b"x-deadline-ms: 6"), None),
        (BODY, (b"x-deadline-ms: 250",), None),
        (BODY, (b"x-request-id: \xe4\xf6",), None),
        (BODY, (), QueryError("There is no such thing.", "filter.genre")),
        (BODY, (), NoGeneration("No generation is live yet.")),
        (BODY, (), StoreUnavailable("No Redis answers.")),
        (BODY, (), QueryError("Too many requests wait.", code="overloaded")),
        (BODY, (), ZeroDivisionError("a fault of ours")),
        (b'{"user_ids": ["a", "b"]}', (), None),
    ],
)
def test_both_ways_say_the_same(connect, came, recommender, body, more, fault):
    """Byte for byte, whatever is wrong with a body or goes wrong with it."""
    recommender.fault = [fault, fault] if fault else []
    line, answers = connect(), []
    for _ in range(2):
        line.sendall(request(body, *more))
        answers.append(told(line))
    assert answers[0] == answers[1]
    assert came == ["/recommend"]


def test_a_deadline_is_the_requests_own(connect, recommender):
    """As its head says it."""
    line = connect()
    for more in ([], [b"x-deadline-ms: 250"]) * 2:
        line.sendall(request(BODY, *more))
        told(line)
    assert [round(seconds) for seconds in recommender.dues] == [60, 0, 60, 0]


@pytest.mark.parametrize(
    "data",
    [
        request(first=b"POST /similar HTTP/1.1"),
        request(first=b"GET /recommend HTTP/1.1"),
        request(first=b"POST /recommend HTTP/1.0"),
        request(BODY, b"connection: close"),
        request(BODY, b"expect: 100-continue"),
        request(BODY, b"content-encoding: gzip"),
        request(BODY, b"x-long: " + b"x" * fast_requests.MOST_HEAD),
        request().replace(b"application/json", b"text/plain"),
        request(b"12\r\n" + BODY + b"\r\n0\r\n\r\n").replace(b"content-length: 29", b"transfer-encoding: chunked"),
        request().replace(b"\r\ncontent-length: 18", b""),
        request()[:-5],
        request() + request(),
        request() + b"more",
        b"\r\n" + request()[:40],
    ],
)
def test_nothing_else_is_learnt(connect, server, data):
    """What the door would refuse, what ends a connection, what is no whole request alone."""
    line = connect()
    line.sendall(data)
    time.sleep(0.2)
    assert server.fast._known == {}


@pytest.mark.parametrize("breaks", [b"\r\n\r\n" * 5, b"\r\n" * 11, b"\n" * 22, b"\r\n\r"])
def test_line_breaks_are_no_head(connect, server, breaks):
    """Between two requests they begin none: what was parsed before is not theirs."""
    line = learnt(connect)
    known = dict(server.fast._known)
    line.sendall(breaks)
    time.sleep(0.1)
    assert server.fast._known == known


def test_line_breaks_keep_no_connection(connect, monkeypatch):
    """Its head does not come, however many there are."""
    monkeypatch.setattr(bounds, "HEAD_SECONDS", 0.6)
    line = learnt(connect)
    line.settimeout(0.2)
    start = time.monotonic()
    while time.monotonic() - start < 4:
        try:
            line.sendall(b"\r\n")
            if line.recv(1 << 10) == b"":
                break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    assert time.monotonic() - start < 3


def test_heads_that_are_always_new_take_no_more_than_their_room(connect, server, monkeypatch):
    """Those of a client that numbers its requests."""
    monkeypatch.setattr(fast_requests, "MOST_HEADS", 5)
    line = connect()
    for number in range(23):
        line.sendall(request(BODY, b"x-request-id: %d" % number))
        told(line)
    assert len(server.fast._known) <= 5


def test_a_known_head_with_another_body_than_it_says_is_uvicorns(connect, came):
    """One that comes in pieces, and one with more behind it."""
    line = learnt(connect)
    line.sendall(request()[:-3])
    time.sleep(0.1)
    line.sendall(request()[-3:])
    told(line)
    line.sendall(request() + request(b'{"user_id": "him"}'))
    assert b'"you"' in told_first(line)
    assert came == ["/recommend"] * 4


def told_first(line):
    """The first answer of two; the second is read, too."""
    data = b""
    while data.count(b"HTTP/1.1 200") < 2 or not data.endswith(b"}"):
        data += line.recv(1 << 16)
    return data[: data.rindex(b"HTTP/1.1 200")]


def test_what_is_sent_ahead_waits_for_its_turn(connect, recommender):
    """While one is under way, whatever way the next goes."""
    line = learnt(connect)
    recommender.wait = 0.3
    line.sendall(request(b'{"user_id": "one"}'))
    time.sleep(0.1)
    recommender.wait = 0.0
    line.sendall(request(b'{"user_id": "two"}'))
    time.sleep(0.02)
    line.sendall(b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n")
    answers = b""
    while answers.count(b"HTTP/1.1 ") < 3:
        answers += line.recv(1 << 16)
    assert answers.index(b'"one"') < answers.index(b'"two"') < answers.index(b"404")


def test_where_it_is_full_it_is_said_at_once(connect, came, recommender):
    """Before anything is parsed, with the same bytes; the connection goes on."""
    line = learnt(connect)
    recommender.full = True
    line.sendall(request())
    fast = told(line)
    line.sendall(request(BODY, b"x-new: 1"))
    assert told(line) == fast
    assert fast.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert b"retry-after: 1\r\n" in fast
    recommender.full = False
    line.sendall(request())
    assert told(line).startswith(b"HTTP/1.1 200")


def test_a_client_that_leaves_breaks_nothing(connect, recommender):
    """Its slate is made for nobody."""
    line = learnt(connect)
    recommender.wait = 0.2
    line.sendall(request())
    time.sleep(0.05)
    line.close()
    other = connect()
    other.sendall(request())
    told(other)
    assert recommender.ended == ["done"] * 3


def test_a_server_that_ends_answers_what_is_under_way(connect, server, recommender):
    """However long it takes, and says that it is the last."""
    line = learnt(connect)
    recommender.wait = 1.6
    line.sendall(request())
    time.sleep(0.1)
    server.should_exit = True
    last = told(line)
    assert b"connection: close\r\n" in last
    line.settimeout(0.5)
    assert line.recv(1) == b""


def test_a_server_that_ends_answers_what_was_sent_ahead(connect, server, recommender):
    """It was read before; the last says so."""
    line = learnt(connect)
    recommender.wait = 0.5
    line.sendall(request())
    time.sleep(0.1)
    line.sendall(request(b'{"user_id": "him"}'))
    time.sleep(0.1)
    server.should_exit = True
    answers = b""
    while part := line.recv(1 << 16):
        answers += part
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.count(b"connection: close") == 1
    assert answers.index(b"connection: close") > answers.index(b'"you"')


def test_one_whose_answer_never_comes_is_closed(connect, recommender):
    """Its work was cancelled, say."""
    line = learnt(connect)
    recommender.fault = [asyncio.CancelledError()]
    line.sendall(request())
    assert line.recv(1) == b""


def test_one_that_is_under_way_is_not_idle(connect, recommender, monkeypatch):
    """Whatever a connection may take to say something; after its answer it is, as ever."""
    monkeypatch.setattr(bounds, "HEAD_SECONDS", 0.3)
    line = learnt(connect)
    recommender.wait = 2.5
    line.sendall(request())
    assert told(line).startswith(b"HTTP/1.1 200")
    start = time.monotonic()
    assert line.recv(1) == b""
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("fast", ["the second", "the first", "slow"])
def test_what_is_idle_is_closed_as_ever(connect, recommender, fast):
    """A second after its last answer, whether its timer stood, went off while that was made, or was never set."""
    line = learnt(connect)
    if fast == "the first":
        line = connect()
    if fast == "slow":
        recommender.wait = 1.5
    line.sendall(request())
    told(line)
    start = time.monotonic()
    assert line.recv(1) == b""
    assert 0.8 < time.monotonic() - start < 4  # sooner than the sweep ends it


def test_who_reads_no_answer_is_not_answered_for_ever(connect):
    """Beyond what the kernel keeps for it nothing is read of it, or it is refused for what it sends ahead."""
    body = json.dumps({"user_ids": [f"{name}" + "u" * 90 for name in range(32)]}).encode()
    line = connect()
    line.settimeout(2)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_192)  # or the kernel keeps all of it for its sender

    def pour():
        for _ in range(600):
            line.sendall(request(body))
            time.sleep(0.004)  # so that it is answered before the next

    with pytest.raises((TimeoutError, ConnectionError)):
        pour()


def test_an_answer_has_the_second_in_which_it_is_given(connect):
    """Like one of uvicorn's."""
    line, dates = connect(), []
    for _ in range(4):
        line.sendall(request())
        dates.append(re.search(rb"date: ([^\r]*)", line.recv(1 << 16))[1])
        time.sleep(0.7)
    assert dates[1] != dates[3]


def test_where_keys_are_needed_there_is_none(monkeypatch):
    """Nor where requests are traced: both have to see each."""
    for gate, tracer in ((None, None), ("keys", None), (None, "tracer")):
        monkeypatch.setattr(GuardedConnection, "fast_path", None)
        monkeypatch.setattr(doors, "gate", lambda gate=gate: gate)
        monkeypatch.setattr(doors, "tracer", lambda _, tracer=tracer: tracer)
        monkeypatch.setattr(doors, "Guard", lambda *_, **__: None)
        monkeypatch.setattr(doors, "TracedDoor", lambda *_: None)
        doors.front(Door())(None, None)
        assert (GuardedConnection.fast_path is not None) == (gate is None and tracer is None)
