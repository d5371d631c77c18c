"""New connections are read a few at a time, in their order, and those that were there before go between."""

import asyncio
import socket
import time

import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from service.edge import bounds
from service.edge.connection import GuardedConnection
from service.edge.newcomers import Newcomers
from tests.deployment import free_port
from tests.uvicorn_server import running

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class Fake:
    def __init__(self, name, log):
        self.name, self._log = name, log

    def wait(self):
        self._log.append(("waits", self.name))

    def come(self):
        self._log.append(("comes", self.name))


def test_a_few_at_a_time_and_in_their_order(monkeypatch):
    """As many as a turn has come at once; the next turns have the others, and then there are no turns."""
    monkeypatch.setattr(bounds, "TURN", 2)
    monkeypatch.setattr(bounds, "TURN_SECONDS", 0.01)
    log = []

    async def run():
        newcomers = Newcomers(asyncio.get_running_loop())
        for name in range(5):
            newcomers.add(Fake(name, log))
        assert log == [("waits", 2), ("waits", 3), ("waits", 4)]
        await asyncio.sleep(0.015)
        assert log[3:] == [("comes", 2), ("comes", 3)]
        newcomers.add(Fake(5, log))
        assert log[5:] == [("waits", 5)]  # nobody overtakes
        await asyncio.sleep(0.05)
        assert log[6:] == [("comes", 4), ("comes", 5)]
        newcomers.add(Fake(6, log))
        newcomers.add(Fake(7, log))
        assert len(log) == 8

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
