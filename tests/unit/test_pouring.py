"""Who pours, drips or comes with many at once: what the gateway's loop is spared, connection by connection."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import pairwise

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from uvicorn.protocols.http import auto

from service.edge import bounds, connection, refusals
from service.edge.connection import GuardedConnection
from service.edge.sweep import Sweep
from tests.deployment import free_port
from tests.uvicorn_server import running

POST = b"POST / HTTP/1.1\r\nhost: x\r\n"
AT_ONCE = b"POST /at-once HTTP/1.1\r\nhost: x\r\n"
CHUNKED = POST + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n"


async def answer(request):
    """In how many parts the body came."""
    parts = [part async for part in request.stream() if part]
    return PlainTextResponse(f"{len(parts)} parts, {sum(map(len, parts))} bytes")


async def drops():
    """An answer that has begun when its body is late, and is whole later."""
    yield "begun"
    await asyncio.sleep(3 * bounds.BODY_SECONDS)
    yield ", whole"


@pytest.fixture(scope="module")
def server():
    """Whose bodies have a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "BODY_SECONDS", 1.0)
        patch.setattr(bounds, "LOOK_SECONDS", 0.1)
        patch.setattr(auto, "AutoHTTPProtocol", auto.AutoHTTPProtocol)
        patch.setattr(GuardedConnection, "most_connections", 1000)
        connection.guard(1000)
        at_once = Route("/at-once", lambda _: PlainTextResponse("no"), methods=["POST", "HEAD"])
        slowly = Route("/slowly", lambda _: StreamingResponse(drops()), methods=["POST"])
        app = Starlette(routes=[Route("/", answer, methods=["POST"]), at_once, slowly])
        with running(uvicorn.Config(app, port=free_port(), log_level="critical", timeout_keep_alive=60)) as server:
            yield server


@contextmanager
def opened(server):
    with socket.create_connection(("127.0.0.1", server.config.port), 10) as each:
        yield each


def rest(each):
    """All that comes until it is closed; a reset is an end."""
    told = b""
    try:
        while part := each.recv(1 << 16):
            told += part
    except ConnectionResetError:
        pass
    return told


def said(server, *parts):
    """What comes back until the connection is closed."""
    with opened(server) as each:
        for part in parts:
            each.sendall(part)
        return rest(each)


def test_a_body_that_drips_wakes_nobody(server):
    """It is handed over whole: whoever reads it is called once, however many drops there were."""
    with opened(server) as each:
        each.sendall(POST + b"connection: close\r\ncontent-length: 8\r\n\r\n")
        for _ in range(8):
            time.sleep(0.02)
            each.sendall(b"x")
        assert b"1 parts, 8 bytes" in rest(each)


def test_a_large_body_comes_in_one_part(server):
    """As large as may be, though more than a reading brings."""
    size = GuardedConnection.most_body
    with opened(server) as each:
        each.sendall(POST + b"connection: close\r\ncontent-length: %d\r\n\r\n" % size + bytes(size))
        assert b"1 parts, %d bytes" % size in rest(each)


def test_a_late_body_is_told_so_in_bytes_made_beforehand(server):
    """By the connection, before the door would."""
    with opened(server) as each:
        each.sendall(POST + b"content-length: 8\r\n\r\n{")
        assert rest(each) == refusals.LATE_BODY.told


def test_what_is_poured_behind_a_refusal_is_not_all_read(server, monkeypatch):
    """So many bytes for all of them together, and what the kernel holds; then the one who pours has to wait."""
    monkeypatch.setattr(bounds, "THROWN_AWAY", 256 << 10)
    with opened(server) as each:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 10)
        each.sendall(POST + b"content-length: 1000000000\r\n\r\n")
        poured, end = 0, time.monotonic() + bounds.LINGER_SECONDS + 2
        try:
            while time.monotonic() < end:
                poured += each.send(bytes(1 << 16))
        except OSError:
            pass
    looks = (bounds.BODY_SECONDS + bounds.LINGER_SECONDS + 1) / 0.1
    assert poured < looks * (256 << 10) + (2 << 20)


def test_a_body_that_nobody_read_is_not_kept(server):
    """Until the next request, of which there may be none."""
    with opened(server) as each:
        each.sendall(AT_ONCE + b"content-length: 20000\r\n\r\n" + bytes(20000))
        assert each.recv(1 << 16).startswith(b"HTTP/1.1 200")
        (connection,) = server.server_state.connections
        assert not connection.cycle.body


def test_an_honest_client_reads_why_its_body_was_refused(server, monkeypatch):
    """Though it sends all of it first, and by a line that takes longer for it than a refusal lingers."""
    monkeypatch.setattr(bounds, "BODY_SECONDS", 8.0)
    size = GuardedConnection.most_body + 1
    part = bytes(-(-size // 10))
    with opened(server) as each:
        each.sendall(POST + b"content-length: %d\r\n\r\n" % size)
        for _ in range(10):
            each.sendall(part)
            time.sleep(bounds.LINGER_SECONDS / 5)
        assert rest(each) == refusals.LARGE_BODY.told


def test_chunks_that_are_no_client_s_way_are_refused(server):
    """Thousands of one byte, with a sentence of their own; JSON word by word and a thousand of 4 KiB are read."""
    end = b"0\r\n\r\n"
    assert b"1 parts, 2000 bytes" in said(server, CHUNKED, b"1\r\n \r\n" * 2000, end)
    assert said(server, CHUNKED, b"1\r\n \r\n" * 2100, end) == refusals.SMALL_PARTS.told
    assert b"1 parts, 4096000 bytes" in said(server, CHUNKED, (b"1000\r\n" + bytes(4096) + b"\r\n") * 1000, end)


def test_what_is_no_body_s_own_is_refused_beyond_a_bound(server):
    """A chunk's extension of a megabyte; large bodies sent ahead are none of the next one's."""
    assert said(server, CHUNKED, b"2;" + b"x" * (1 << 20)) == refusals.LARGE_BODY.told
    size = 200_000
    ahead = POST + b"content-length: %d\r\n\r\n" % size + bytes(size)
    told = said(server, ahead * 5 + CHUNKED + b"1\r\n \r\n", b"0\r\n\r\n")
    assert told.count(b"HTTP/1.1 200") == 6


def test_the_kernel_takes_little_ahead(server):
    """Of what a client pours, least before its body is somebody's: uvloop would read megabytes in one go."""

    def ahead():
        place = next(iter(server.server_state.connections)).transport.get_extra_info("socket")
        return place.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    def becomes(size):
        end = time.monotonic() + 5
        while not server.server_state.connections or ahead() != 2 * size:
            assert time.monotonic() < end
            time.sleep(0.01)

    with opened(server) as each:
        becomes(bounds.HEAD_BUFFER)
        each.sendall(POST + b"content-length: 1000000\r\n\r\n" + bytes(100_000))
        becomes(bounds.RECEIVE_BUFFER)


class Late:
    """A connection that is late, and ends when it is looked at."""

    since, idle, unread = 0.0, True, 0

    def __init__(self):
        self.ended = False

    def look(self, _):
        self.ended, late = True, not self.ended
        return late


def test_few_are_ended_at_a_time():
    """Others' requests go between; all are ended all the same, and soon."""

    async def ended():
        loop = asyncio.get_running_loop()
        late = {Late() for _ in range(100)}
        sweep, seen = Sweep(late, loop), [0]
        sweep._look()
        end = loop.time() + 5
        while seen[-1] < len(late) and loop.time() < end:
            seen.append(sum(each.ended for each in late))
            await asyncio.sleep(0)
        late.clear()
        return seen

    seen = asyncio.run(ended())
    assert seen[-1] == 100
    assert max(after - before for before, after in pairwise(seen)) <= bounds.ENDS


class Broken(Late):
    """One that can't be looked at."""

    def look(self, _):
        raise RuntimeError("broken")


def test_one_that_cannot_be_looked_at_keeps_nobody_from_being_ended():
    """Those beside it are, in the same round, and it is looked at again in the next."""

    async def told():
        loop = asyncio.get_running_loop()
        late, broken, wrong = {Late() for _ in range(20)}, {Broken() for _ in range(3)}, []
        loop.set_exception_handler(lambda _, context: wrong.append(context["exception"]))
        connections = late | broken
        Sweep(connections, loop).begin()
        end = loop.time() + 10
        while len(wrong) < 2 * len(broken) and loop.time() < end:
            await asyncio.sleep(0.01)
        connections.clear()
        return all(each.ended for each in late), len(wrong)

    ended, wrong = asyncio.run(told())
    assert ended
    assert wrong >= 6


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="Linux's")
def test_an_attacker_stands_aside():
    """It takes the time of a core that nobody else wants."""
    program = "import os; from tests.edge.elsewhere import stand_aside; stand_aside(); print(os.sched_getscheduler(0))"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert int(told.stdout) == os.SCHED_IDLE


def test_who_is_answered_early_pours_no_more(server, monkeypatch):
    """As whoever has no key is: the answer comes whole, and the connection ends long before a body would be late."""
    monkeypatch.setattr(bounds, "BODY_SECONDS", 8.0)
    with opened(server) as each:
        start = time.monotonic()
        each.sendall(AT_ONCE + b"content-length: 4000000\r\n\r\n" + bytes(1000))
        told = rest(each)
        assert told.startswith(b"HTTP/1.1 200 OK")
        assert told.endswith(b"no")
        assert time.monotonic() - start < 4
        each.sendall(bytes(1000))  # which is thrown away: there is nobody to be told


@pytest.mark.parametrize(
    "head",
    [
        AT_ONCE,
        AT_ONCE + b"connection: close\r\n",
        AT_ONCE + b"expect: 100-continue\r\n",
        AT_ONCE.replace(b"POST", b"HEAD"),
    ],
    ids=["keep-alive", "close", "expect", "HEAD"],
)
def test_who_sends_all_before_reading_reads_the_early_answer(server, monkeypatch, head):
    """Closed at once, its connection would be reset, and the answer lost; and it is told that this is the last."""
    monkeypatch.setattr(bounds, "BODY_SECONDS", 8.0)
    with opened(server) as each:
        each.sendall(head + b"content-length: 4000000\r\n\r\n")
        for _ in range(10):
            each.sendall(bytes(400_000))
            time.sleep(0.05)
        told, _, body = rest(each).partition(b"\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 200")
    assert b"\r\nconnection: close" in told
    assert body == (b"" if head.startswith(b"HEAD") else b"no")


def test_a_large_body_that_is_read_keeps_the_connection(server):
    """Its answer comes when it is whole."""
    with opened(server) as each:
        for _ in range(2):
            each.sendall(POST + b"content-length: 100000\r\n\r\n")
            each.sendall(bytes(100_000))
            told = each.recv(1 << 16)
            assert told.endswith(b"1 parts, 100000 bytes")
            assert b"connection: close" not in told


def test_a_late_body_whose_answer_has_begun_ends_with_it(server):
    """What was begun is said whole; nothing behind it."""
    with opened(server) as each:
        each.sendall(POST.replace(b"/ ", b"/slowly ") + b"content-length: 100000\r\n\r\n{")
        told = rest(each)
        assert b"begun" in told
        assert b", whole" in told


def test_a_late_body_that_still_comes_behind_a_begun_answer_takes_nothing_of_it(server):
    """Its client sends a little longer than the answer takes, and reads then."""
    with opened(server) as each:
        each.sendall(POST.replace(b"/ ", b"/slowly ") + b"content-length: 4000000\r\n\r\n")
        for _ in range(28):
            each.sendall(bytes(10_000))
            time.sleep(bounds.BODY_SECONDS / 8)
        assert b", whole" in rest(each)


def test_who_is_answered_before_a_small_body_keeps_the_connection(server):
    """Many clients send a head and a body in two pieces: to be told no, or to wait, is no reason to connect anew."""
    with opened(server) as each:
        for _ in range(3):
            each.sendall(AT_ONCE + b"content-length: 5\r\n\r\n")
            assert each.recv(1 << 16).endswith(b"no")
            each.sendall(b"hello")
        each.sendall(POST + b"content-length: 5\r\n\r\nhello")
        assert each.recv(1 << 16).endswith(b"1 parts, 5 bytes")


def test_who_waits_to_be_asked_for_a_body_and_is_told_no_is_closed(server, monkeypatch):
    """It may leave the body out: what it sends next would be taken for it."""
    monkeypatch.setattr(bounds, "BODY_SECONDS", 8.0)
    with opened(server) as each:
        start = time.monotonic()
        each.sendall(AT_ONCE + b"expect: 100-continue\r\ncontent-length: 5\r\n\r\n")
        assert rest(each).endswith(b"no")
        assert time.monotonic() - start < 4
