"""uvicorn's server, which is woken when it is to end and else looks once a second."""

import asyncio
import os
import signal
import socket
import subprocess
import sys

import httpx
import pytest
import uvicorn

from service.edge.calm import SECONDS, UNREAD_SECONDS, calm


async def app(scope, _receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"here"})


@pytest.fixture
def looks(monkeypatch):
    """The ticks of a server that would look once an hour."""
    for name in ("main_loop", "should_exit"):
        monkeypatch.setattr(uvicorn.Server, name, None, raising=False)
    told, on_tick = [], uvicorn.Server.on_tick

    async def noted(server, counter):
        told.append(counter)
        return await on_tick(server, counter)

    monkeypatch.setattr(uvicorn.Server, "on_tick", noted)
    monkeypatch.setattr(uvicorn.Server, "tandem_seconds", None, raising=False)
    calm(3600)
    return told


async def serving():
    """A server that answers, what serves it, and where."""
    held = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    task = asyncio.create_task(server.serve([held]))
    while not server.started:
        await asyncio.sleep(0.01)
    return server, task, f"http://127.0.0.1:{held.getsockname()[1]}"


def test_it_ends_when_it_is_told_to(looks):
    """And not when it looks next."""

    async def run():
        server, task, url = await serving()
        async with httpx.AsyncClient() as client:
            assert (await client.get(url)).headers["date"].endswith("GMT")
        assert not server.should_exit
        server.should_exit = True
        await asyncio.wait_for(task, 20)

    asyncio.run(run())
    assert looks == [0, 10]


def test_it_ends_by_a_signal(looks, monkeypatch):
    """Which uvicorn raises once more when it has ended."""
    raised = []
    monkeypatch.setattr(signal, "raise_signal", raised.append)

    async def run():
        _, task, _ = await serving()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, 20)

    asyncio.run(run())
    assert raised == [signal.SIGTERM]
    assert looks == [0, 10]


def test_it_looks_again_for_the_date(looks):
    """Each look is one at which uvicorn makes a date."""
    calm(0.01)

    async def run():
        server, task, _ = await serving()
        while len(looks) < 4:
            await asyncio.sleep(0.01)
        server.should_exit = True
        await asyncio.wait_for(task, 20)

    asyncio.run(run())
    assert looks[:4] == [0, 10, 20, 30]


def test_how_seldom_may_be_said_again(looks):
    """By a process that learns only later that nobody reads its dates."""

    async def run():
        server, task, _ = await serving()
        calm(0.01)
        server.tandem_woken[1].set()
        while len(looks) < 5:
            await asyncio.sleep(0.01)
        server.should_exit = True
        await task

    asyncio.run(asyncio.wait_for(run(), 20))


CALLEE = """
import uvicorn
from service import compose
from service.shell import Shell
compose.adopter = lambda *_: type("Adopter", (), {"start": lambda _: None})()
before = uvicorn.Server.tandem_seconds
Shell()._follow("ranking", None)
print(before, uvicorn.Server.tandem_seconds)
"""


def test_a_callee_makes_its_date_seldom():
    """Who asks it does not read it; in a process of its own, since a service guards that of whoever imports it."""
    told = subprocess.run([sys.executable, "-c", CALLEE], capture_output=True, text=True, timeout=120, check=True)
    assert told.stdout.split() == [str(SECONDS), str(UNREAD_SECONDS)]
