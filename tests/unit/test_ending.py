"""In which order a deployment stops, on an arbiter that only notes what it was asked."""

import asyncio
import socket
from types import SimpleNamespace

import pytest
from circus.exc import ConflictError

from service import ending
from service.drain import DRAIN
from service.ending import ENTRY, ENTRY_SOCKET, Ending
from service.quiesce import SETTLE_SECONDS


class Loop:
    """The loop that is running."""

    def add_callback(self, callback):
        self.task = asyncio.ensure_future(callback())


class Watcher:
    """A service with one worker."""

    args = ()

    def __init__(self, name, noted):
        self.name, self._noted, self.graceful_timeout = name, noted, 86_400.0

    def get_active_processes(self):
        return [SimpleNamespace(send_signal=lambda number: self._noted.append((self.name, number)))]

    async def _stopped(self):
        self._noted.append((self.name, "told"))
        await asyncio.sleep(0.05)
        self._noted.append((self.name, "ended"))

    def _stop(self, _):
        return asyncio.ensure_future(self._stopped())


@pytest.fixture
def arbiter(monkeypatch):
    monkeypatch.setattr(ending, "CLOSED_SECONDS", 0.01)
    noted = []
    with socket.create_server(("127.0.0.1", 0)) as door:
        yield SimpleNamespace(
            noted=noted,
            loop=Loop(),
            watchers=[Watcher("service_Ranking", noted), Watcher(ENTRY, noted)],
            sockets={ENTRY_SOCKET: door},
            _stopping=False,
            _exclusive_running_command=None,
            _exception=None,
        )


def run(arbiter, seconds=0.0, stops=(None,), **more):
    """Stop it; `stops`: what its own stop raises, one after the other."""
    outcomes = iter(stops)

    async def stop():
        arbiter.noted.append("rest")
        if error := next(outcomes):
            raise error

    async def scene():
        one = Ending(arbiter, stop, seconds)
        one.begin(**more)
        one.begin()  # who asks again changes nothing
        await arbiter.loop.task

    asyncio.run(scene())


def test_the_gateway_has_ended_before_the_others_hear_of_it(arbiter):
    """First it is told to leave, then to end; nobody is replaced meanwhile, and the port says that nobody is there."""
    run(arbiter)
    assert arbiter.noted == [(ENTRY, DRAIN), (ENTRY, "told"), (ENTRY, "ended"), "rest"]
    assert arbiter._stopping
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(arbiter.sockets[ENTRY_SOCKET].getsockname(), 5)
    assert all(watcher.graceful_timeout < 30 for watcher in arbiter.watchers)


def test_connections_are_taken_until_the_time_is_over(arbiter):
    """A load balancer that has not noticed yet is answered; after it there is still the time to accept all."""
    place, taken = arbiter.sockets[ENTRY_SOCKET].getsockname(), []

    async def scene():
        Ending(arbiter, lambda: asyncio.sleep(0), 0.3).begin()
        for _ in range(2):
            try:
                await asyncio.to_thread(lambda: socket.create_connection(place, 0.1).close())
                taken.append((True, list(arbiter.noted)))
            except TimeoutError:
                taken.append((False, list(arbiter.noted)))
            await asyncio.sleep(0.3 + SETTLE_SECONDS / 4)
        await arbiter.loop.task

    asyncio.run(scene())
    assert taken == [(True, [(ENTRY, DRAIN)]), (False, [(ENTRY, DRAIN)])]


def test_an_arbiter_that_is_busy_is_asked_again(arbiter):
    """It refuses while it starts or stops something else."""
    run(arbiter, stops=(ConflictError("busy"), ConflictError("busy"), None))
    assert arbiter.noted[-3:] == ["rest", "rest", "rest"]


def test_what_can_not_be_done_in_order_is_stopped_all_the_same(arbiter, caplog):
    """Whatever BentoML changed."""
    arbiter.watchers.pop()
    run(arbiter, broken=True)
    assert arbiter.noted == ["rest"]
    assert "could not be stopped before the others" in caplog.text
    assert arbiter._exception.code == 1
