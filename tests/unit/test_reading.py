"""New connections are read a few at a time, in their order, and those that were there before go between."""

import asyncio
import socket
import threading
import time
from contextlib import suppress
from functools import partial

import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from service.edge import bounds
from service.edge.connection import GuardedConnection
from service.edge.turns import Turns
from service.lane import MOST_BYTES
from tests.deployment import free_port
from tests.uvicorn_server import running

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


def test_a_few_at_a_time_and_in_their_order(monkeypatch):
    """As many as a turn has come at once; the next turns have the others, and then there are no turns."""
    monkeypatch.setattr(bounds, "TURN_SECONDS", 0.1)
    came = []

    async def run():
        turns = Turns(asyncio.get_running_loop(), 2)
        assert [turns.admit(partial(came.append, name)) for name in range(5)] == [True, True, False, False, False]
        assert came == []
        await asyncio.sleep(0.15)
        assert came == [2, 3]
        assert not turns.admit(partial(came.append, 5))  # nobody overtakes
        await asyncio.sleep(0.3)
        assert came == [2, 3, 4, 5]
        assert turns.admit(partial(came.append, 6))
        assert turns.admit(partial(came.append, 7))

    asyncio.run(run())


def test_one_that_raises_costs_its_turn_alone(monkeypatch):
    """Those behind it come all the same."""
    monkeypatch.setattr(bounds, "TURN_SECONDS", 0.01)

    async def run():
        came, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)
        turns = Turns(loop, 1)
        assert [turns.admit(each) for each in (came.clear, lambda: 1 / 0, came.set)] == [True, False, False]
        await asyncio.wait_for(came.wait(), 10)

    asyncio.run(run())


async def measured(scope, receive, send):
    """How many bytes the body has, or what the path's end is."""
    told = len((await receive())["body"]) if scope["method"] == "POST" else scope["path"][1:] or "yes"
    await PlainTextResponse(str(told))(scope, receive, send)


def served(loop):
    return running(uvicorn.Config(measured, port=free_port(), log_level="critical", http=GuardedConnection, loop=loop))


def opened(server):
    return socket.create_connection(("127.0.0.1", server.config.port), 10)


def rest(each):
    told = b""
    while part := each.recv(1 << 16):
        told += part
    return told


@pytest.fixture(params=["uvloop", "asyncio"])
def server(request):
    with served(request.param) as server:
        yield server


def test_who_was_there_before_is_answered_while_others_wait(server, monkeypatch):
    """And each of those is, in its turn; one that goes before is no more."""
    with opened(server) as before:
        before.sendall(GET)
        assert before.recv(1 << 16).endswith(b"yes")
        time.sleep(0.1)  # its turn is over
        monkeypatch.setattr(bounds, "TURN_SECONDS", 2.0)
        many = [opened(server) for _ in range(bounds.NEWCOMERS + 4)]
        for each in many:
            each.sendall(GET)
        for each in many[: bounds.NEWCOMERS]:
            assert each.recv(1 << 16).endswith(b"yes")
        before.sendall(GET)
        assert before.recv(1 << 16).endswith(b"yes")
        waiting = many[bounds.NEWCOMERS :]
        waiting[0].setblocking(False)
        with pytest.raises(BlockingIOError):
            waiting[0].recv(1)
        waiting[0].close()
        for each in waiting[1:]:
            assert each.recv(1 << 16).endswith(b"yes")
        for each in many:
            each.close()


def recorded(monkeypatch):
    """All that connections receive from now on."""
    parts, receive = [], GuardedConnection.data_received
    recording = lambda self, data: (parts.append(data), receive(self, data))  # noqa: E731
    monkeypatch.setattr(GuardedConnection, "data_received", recording)
    return parts


@pytest.mark.parametrize("waits", [False, True], ids=["in its turn", "that waits"])
@pytest.mark.parametrize("size", [0, 10, bounds.FIRST_READ, 3 * bounds.FIRST_READ, 1_000_000])
def test_little_is_read_of_a_newcomer_at_first_and_then_all(server, monkeypatch, waits, size):
    """Who has no key has little of its body read before it is told so."""
    parts = []
    receive = GuardedConnection.data_received
    monkeypatch.setattr(
        GuardedConnection, "data_received", lambda self, data: (parts.append(data), receive(self, data))
    )
    if waits:
        monkeypatch.setattr(bounds, "TURN_SECONDS", 0.5)
    before = [opened(server) for _ in range(bounds.NEWCOMERS if waits else 0)]
    start = time.monotonic()
    with opened(server) as each:
        each.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size + bytes(size))
        assert each.recv(1 << 16).endswith(b"\r\n\r\n%d" % size)
    assert not waits or time.monotonic() - start > 0.3
    assert len(parts[0]) <= bounds.FIRST_READ
    for each in before:
        each.close()


def test_two_servers_of_a_process_do_not_share_what_they_read(monkeypatch):
    """Each has a loop in a thread of its own, and both read at once."""
    monkeypatch.setattr(bounds, "NEWCOMERS", 100_000)
    wrong = []

    def ask(server, who):
        for number in range(400):
            name = b"%s%d" % (who, number)
            with opened(server) as each:
                each.sendall(b"GET /%s?%s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % (name, b"q" * 3000))
                if not rest(each).endswith(b"\r\n\r\n" + name):
                    wrong.append(name)

    with served("uvloop") as first, served("uvloop") as second:
        asking = [(first, b"a"), (second, b"b"), (first, b"c"), (second, b"d")]
        threads = [threading.Thread(target=ask, args=each) for each in asking]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def none_makes_room(monkeypatch):
    monkeypatch.setattr(GuardedConnection, "most_connections", 0)
    monkeypatch.setattr(GuardedConnection, "idle", property(lambda _: False))


def test_a_newcomer_that_waits_and_is_refused_reads_why(server, monkeypatch):
    """Though it sends all the while, and longer than a refusal lingers."""
    monkeypatch.setattr(bounds, "TURN_SECONDS", 3)
    before = [opened(server) for _ in range(bounds.NEWCOMERS)]
    for each in before:
        each.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n")
    end = time.monotonic() + 10
    while len(server.server_state.connections) < len(before) and time.monotonic() < end:
        time.sleep(0.01)  # one that is refused would make room
    none_makes_room(monkeypatch)
    with opened(server) as each:
        for _ in range(30):
            each.sendall(bytes(10_000))
            time.sleep(bounds.LINGER_SECONDS / 20)
        assert rest(each).startswith(b"HTTP/1.1 503")
    for each in before:
        each.close()


def test_what_is_poured_on_a_full_server_is_not_all_read(server, monkeypatch):
    """Beyond what all may pour together, whoever pours has to wait, from its first bytes on."""
    none_makes_room(monkeypatch)
    monkeypatch.setattr(GuardedConnection, "lingers", property(lambda _: False))
    monkeypatch.setattr(bounds, "THROWN_AWAY", 1 << 20)
    monkeypatch.setattr(bounds, "LOOK_SECONDS", 60)
    parts = recorded(monkeypatch)
    end = time.monotonic() + 0.5

    def pour():
        with suppress(OSError), opened(server) as each:
            each.settimeout(1)
            while time.monotonic() < end:
                each.send(bytes(1 << 16))

    threads = [threading.Thread(target=pour) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(map(len, parts)) < 8 << 20


def send_a_megabyte(server):
    with opened(server) as each:
        each.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n" + bytes(1_000_000))
        assert each.recv(1 << 16).endswith(b"1000000")


def test_what_is_large_is_read_in_turns(server, monkeypatch):
    """A megabyte at once would be read at once."""
    monkeypatch.setattr(bounds, "TURN_SECONDS", 0.5)
    start = time.monotonic()
    send_a_megabyte(server)
    assert time.monotonic() - start >= 0.4


def test_gateways_wait_for_no_turn(server, monkeypatch):
    """What many ask is one large body of theirs; here the next turn would come too late."""
    for name in ("in_turns", "most_body", "most_held", "most_head"):
        monkeypatch.setattr(GuardedConnection, name, getattr(GuardedConnection, name))
    GuardedConnection.admit(MOST_BYTES, bounds.HEAD_BYTES)
    monkeypatch.setattr(bounds, "TURN_SECONDS", 60)
    send_a_megabyte(server)


def test_what_comes_in_drops_is_not_what_others_wait_for(server, monkeypatch):
    """Forty who drip into large bodies take no turn: a hundred turns would be ten seconds here."""
    monkeypatch.setattr(bounds, "TURN_SECONDS", 0.1)
    slow, over = [opened(server) for _ in range(40)], threading.Event()

    def drip():
        while not over.wait(0.01):
            for each in slow:
                each.send(b" ")

    for each in slow:
        each.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n" + bytes(bounds.SMALL_BODY + 1))
    thread = threading.Thread(target=drip)
    thread.start()
    try:
        start = time.monotonic()
        send_a_megabyte(server)
        assert time.monotonic() - start < 5
    finally:
        over.set()
        thread.join()
        for each in slow:
            each.close()
