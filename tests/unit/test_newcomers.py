"""New connections are read a few at a time, in their order, and those that were there before go between."""

import asyncio
import socket
import time
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


async def measured(scope, receive, send):
    """How many bytes the body has."""
    size = len((await receive())["body"]) if scope["method"] == "POST" else "yes"
    await PlainTextResponse(str(size))(scope, receive, send)


@pytest.fixture(params=["uvloop", "asyncio"])
def server(request):
    config = uvicorn.Config(
        measured, port=free_port(), log_level="critical", http=GuardedConnection, loop=request.param
    )
    with running(config) as server:
        yield server


def test_who_was_there_before_is_answered_while_others_wait(server, monkeypatch):
    """And each of those is, in its turn; one that goes before is no more."""
    place = ("127.0.0.1", server.config.port)
    with socket.create_connection(place, 10) as before:
        before.sendall(GET)
        assert before.recv(1 << 16).endswith(b"yes")
        time.sleep(0.1)  # its turn is over
        monkeypatch.setattr(bounds, "TURN_SECONDS", 2.0)
        many = [socket.create_connection(place, 10) for _ in range(bounds.TURN + 4)]
        for each in many:
            each.sendall(GET)
        for each in many[: bounds.TURN]:
            assert each.recv(1 << 16).endswith(b"yes")
        before.sendall(GET)
        assert before.recv(1 << 16).endswith(b"yes")
        waiting = many[bounds.TURN :]
        waiting[0].setblocking(False)
        with pytest.raises(BlockingIOError):
            waiting[0].recv(1)
        waiting[0].close()
        for each in waiting[1:]:
            assert each.recv(1 << 16).endswith(b"yes")
        for each in many:
            each.close()


@pytest.mark.parametrize("ahead", [0, bounds.TURN], ids=["in its turn", "that waits"])
@pytest.mark.parametrize("size", [0, 10, bounds.FIRST_READ, 3 * bounds.FIRST_READ, 1_000_000])
def test_little_is_read_of_a_newcomer_at_first_and_then_all(server, monkeypatch, ahead, size):
    """Who has no key has little of its body read before it is told so."""
    parts = []
    receive = GuardedConnection.data_received
    monkeypatch.setattr(
        GuardedConnection, "data_received", lambda self, data: (parts.append(data), receive(self, data))
    )
    place = ("127.0.0.1", server.config.port)
    before = [socket.create_connection(place, 10) for _ in range(ahead)]
    with socket.create_connection(place, 10) as each:
        each.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size + bytes(size))
        assert each.recv(1 << 16).endswith(b"\r\n\r\n%d" % size)
    assert len(parts[0]) <= bounds.FIRST_READ
    for each in before:
        each.close()


def send_a_megabyte(server):
    with socket.create_connection(("127.0.0.1", server.config.port), 10) as each:
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
