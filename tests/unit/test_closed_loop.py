"""Callers that ask again once they are answered."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from loadtests import closed_loop
from loadtests.peers.servers import PeerError, Running

USERS = ["u1", "u2", "u3", "u4"]


@asynccontextmanager
async def peer(status=b"200 OK"):
    """One that answers after 20 ms; it remembers who was asked for, and how many at once."""
    asked, here, most = [], [], []

    async def answer(reader, writer):
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.partition(b"Content-Length: ")[2].split()[0])
            wanted = json.loads(await reader.readexactly(length))
            asked.append(wanted.get("user_id") or tuple(wanted["user_ids"]))
            here.append(1)
            most.append(len(here))
            await asyncio.sleep(0.02)
            here.pop()
            writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\n\r\n{}")

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield Running(f"http://127.0.0.1:{port}", 0), asked, most


def test_each_caller_asks_one_at_a_time(monkeypatch):
    """For users of its own, one after the other; the first while are not counted."""
    monkeypatch.setattr(closed_loop, "WARM_SECONDS", 0.2)

    async def scene():
        async with peer() as (place, asked, most):
            told = await closed_loop.asked(place, USERS, 2, 0.4)
        return told, asked, most

    told, asked, most = asyncio.run(scene())
    assert set(asked) == set(USERS)
    assert max(most) == 2
    assert told.p50 >= 20
    assert told.rate * 0.4 < len(asked) - 4


def test_another_asks_for_several_at_once(monkeypatch):
    """Now and then; it is not counted, and ends with the others."""
    monkeypatch.setattr(closed_loop, "WARM_SECONDS", 0.0)

    async def scene(every):
        monkeypatch.setattr(closed_loop, "BESIDE_SECONDS", every)
        async with peer() as (place, asked, _):
            return await asyncio.wait_for(closed_loop.asked(place, USERS, 1, 0.4, 3), 5), asked

    assert asyncio.run(scene(30))[1].count(("u1", "u2", "u3")) == 1
    told, asked = asyncio.run(scene(0.1))
    several = asked.count(("u1", "u2", "u3"))
    assert 2 <= several <= 5
    assert told.rate * 0.4 == pytest.approx(len(asked) - several, abs=1e-6)


def test_what_is_not_answered_is_said():
    """A peer that refuses is not fast."""

    async def scene():
        async with peer(b"503 Service Unavailable") as (place, _, _):
            await closed_loop.asked(place, USERS, 2, 1)

    with pytest.raises(PeerError, match="503"):
        asyncio.run(scene())


@pytest.mark.parametrize(("answer", "told"), [(b"", "hung up"), (b"HTTP/1.1 200 OK\r\ncontent-", "hung up")])
def test_a_peer_that_hangs_up_is_said(answer, told):
    """In a sentence: it may have been killed."""

    async def hang_up(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async def scene():
        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            await closed_loop.asked(Running(f"http://127.0.0.1:{port}", 0), USERS, 2, 1)

    with pytest.raises(PeerError, match=told):
        asyncio.run(scene())


def test_who_answers_nobody_is_said(monkeypatch):
    """A window without an answer has no percentiles."""
    monkeypatch.setattr(closed_loop, "WARM_SECONDS", 0.0)

    async def nobody(*_):
        return []

    monkeypatch.setattr(closed_loop, "_caller", nobody)
    with pytest.raises(PeerError, match="answered nobody"):
        asyncio.run(closed_loop.asked(Running("http://127.0.0.1:1", 0), USERS, 2, 1))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--peers", "split_grpc"], "'split_grpc' is asked over gRPC"),
        (["--beside", "5"], "'fastapi_same_kernels' takes one user a request"),
    ],
)
def test_a_peer_that_is_asked_otherwise_is_refused(monkeypatch, capsys, options, told):
    """It would be asked over HTTP under its name, or refuse."""
    monkeypatch.setattr("sys.argv", ["closed_loop", *options])
    with pytest.raises(SystemExit):
        closed_loop.main()
    assert told in capsys.readouterr().err
