"""A head that does not come: the connection is closed, and only that one."""

import asyncio
import logging
import socket
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from uvicorn.protocols.http import auto

from service.edge import bounds, connection
from service.edge.connection import GuardedConnection
from tests.deployment import free_port

SECONDS = 0.4
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
SLOW = GET.replace(b"/ ", b"/slow ")
POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n"


async def answer(request):
    return PlainTextResponse(f"body of {len(await request.body())}")


async def slow(_):
    await asyncio.sleep(2 * SECONDS)
    return PlainTextResponse("at last")


async def large(_):
    return PlainTextResponse(bytes(32 << 20))


@contextmanager
def served(patch):
    """A server that takes uvicorn's choice, as BentoML's do; with its thread and its port."""
    patch.setattr(auto, "AutoHTTPProtocol", auto.AutoHTTPProtocol)  # and is put back
    connection.guard(1000)
    app = Starlette(routes=[Route("/", answer, methods=["GET", "POST"]), Route("/slow", slow), Route("/large", large)])
    config = uvicorn.Config(app, port=free_port(), log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server, thread, config.port
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def port():
    """Of a server that has little patience."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "HEAD_SECONDS", SECONDS)
        patch.setattr(bounds, "LOOK_SECONDS", SECONDS / 8)
        with served(patch) as (_, _, port):
            yield port


@contextmanager
def opened(port):
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        yield connection


def rest(connection):
    """All that comes until the connection is closed, and after how long it was."""
    start, told = time.monotonic(), b""
    while chunk := connection.recv(4096):
        told += chunk
    return told, time.monotonic() - start


def _answers(port):
    """Whether anybody listens there."""
    try:
        with opened(port):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("part", [GET[:1], GET[:20], GET[:-1]])
def test_a_head_that_is_never_whole_is_refused(port, part):
    """With a word, and soon."""
    with opened(port) as half:
        half.sendall(part)
        told, seconds = rest(half)
    assert told.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b'{"error":{"code":"timeout"' in told
    assert seconds < SECONDS + 3


def test_a_head_that_comes_byte_by_byte_has_no_more_time(port):
    """What counts is when it began."""

    def trickle(half):
        for byte in GET[:-4] * 5:
            half.sendall(bytes([byte]))
            time.sleep(SECONDS / 10)

    with opened(port) as half, pytest.raises((BrokenPipeError, ConnectionResetError)):
        trickle(half)


def test_an_answer_without_a_body_is_said_at_once(port):
    """Its head waits for no body where there is to be none, and neither does the word to go on."""
    with opened(port) as asked:
        asked.settimeout(5)
        asked.sendall(GET.replace(b"GET", b"HEAD"))
        assert asked.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")
    with opened(port) as asked:
        asked.settimeout(5)
        asked.sendall(POST.replace(b"host", b"expect: 100-continue\r\nhost"))
        assert asked.recv(4096).startswith(b"HTTP/1.1 100 Continue\r\n")
        asked.sendall(b"{}")
        assert b"body of 2" in asked.recv(4096)


def test_who_says_nothing_is_told_nothing(port):
    """And the connection is closed."""
    with opened(port) as silent:
        assert rest(silent)[0] == b""


def test_the_second_head_of_a_connection_has_to_come_too(port):
    """The first request was answered."""
    with opened(port) as half:
        half.sendall(GET + GET[:9])
        told, _ = rest(half)
    assert told.startswith(b"HTTP/1.1 200")
    assert told.index(b"body of 0") < told.index(b"HTTP/1.1 408")


def test_what_is_not_a_head_has_its_time(port):
    """A head in two parts, a body that comes late, an answer that does, and a half head behind that."""
    with opened(port) as patient:
        patient.sendall(GET[:9])
        time.sleep(SECONDS / 4)
        patient.sendall(GET[9:])
        assert b"body of 0" in patient.recv(4096)
        patient.sendall(POST)
        time.sleep(2 * SECONDS)
        patient.sendall(b"{}")
        assert b"body of 2" in patient.recv(4096)
        patient.sendall(SLOW + GET[:9])
        told, _ = rest(patient)
    assert told.startswith(b"HTTP/1.1 200")
    assert told.index(b"at last") < told.index(b"HTTP/1.1 408")


def test_a_connection_ends_without_losing_what_was_on_its_way(monkeypatch):
    """A server that stops: the answer under way, the request just being sent, and nobody who is idle for long."""
    monkeypatch.setattr(bounds, "IDLE_SECONDS", 3 * SECONDS)
    with (
        served(monkeypatch) as (server, thread, place),
        opened(place) as busy,
        opened(place) as next_one,
        opened(place) as idle,
    ):
        next_one.sendall(GET)
        assert b"body of 0" in next_one.recv(4096)
        busy.sendall(SLOW)
        time.sleep(SECONDS / 2)
        server.should_exit = True
        while _answers(place):
            time.sleep(0.02)
        next_one.sendall(GET)
        answers = [rest(each)[0] for each in (busy, next_one, idle)]
        thread.join(10)
    assert not thread.is_alive()
    assert [answer[:15] for answer in answers] == [b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK", b""]
    assert all(b"connection: close" in answer for answer in answers[:2])


def test_while_a_process_leaves_each_answer_is_the_last_on_its_connection(port, monkeypatch):
    """Whose client then knows, and takes another way for the next."""
    monkeypatch.setattr(GuardedConnection, "leaving", True)
    with opened(port) as one:
        one.sendall(GET)
        told, seconds = rest(one)
    assert b"connection: close" in told
    assert seconds < SECONDS


def test_who_does_not_read_is_cut_off(monkeypatch):
    """An answer that nobody takes holds no server for ever."""
    monkeypatch.setattr(bounds, "CUT_SECONDS", SECONDS)
    with served(monkeypatch) as (server, thread, place), opened(place) as deaf:
        deaf.sendall(GET.replace(b"/ ", b"/large "))
        time.sleep(SECONDS / 2)
        server.should_exit = True
        thread.join(10 * SECONDS)
        assert not thread.is_alive()


def test_a_head_that_begins_behind_a_large_body_is_no_large_head(port):
    """What was read with it is not the head's."""
    with opened(port) as line:
        line.sendall(POST.replace(b"length: 2", b"length: 30000"))
        time.sleep(0.05)
        line.sendall(b"x" * 30_000 + GET[:9])
        time.sleep(0.1)
        line.sendall(GET[9:])
        told = b""
        while told.count(b"body of") < 2:
            part = line.recv(1 << 16)
            assert part, told
            told += part
    assert told.count(b"HTTP/1.1 200") == 2


def test_a_client_that_goes_with_requests_ahead_leaves_no_traceback(port, caplog):
    """What runs is told that nobody is there, and what waits behind it never starts."""
    log = logging.getLogger("uvicorn.error")
    log.addHandler(caplog.handler)
    for _ in range(3):
        with opened(port) as gone:
            gone.sendall(GET + 3 * SLOW)
            assert gone.recv(4096).startswith(b"HTTP/1.1 200 OK")
    time.sleep(3 * SECONDS)
    log.removeHandler(caplog.handler)
    assert "Exception in ASGI application" not in caplog.text


def test_who_is_refused_keeps_no_place_from_others(monkeypatch):
    """Lingering, so that a client reads why, ends where another needs the place."""
    with served(monkeypatch) as (_, _, place), ExitStack() as stack:
        monkeypatch.setattr(GuardedConnection, "most_connections", 3)
        for _ in range(9):
            refused = stack.enter_context(opened(place))
            refused.sendall(b"no head at all\r\n\r\n")
            assert refused.recv(4096).startswith(b"HTTP/1.1 400 ")
        other = stack.enter_context(opened(place))
        other.sendall(GET)
        assert other.recv(4096).startswith(b"HTTP/1.1 200 OK")
