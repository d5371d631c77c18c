"""A call that came whole, and alone, is answered where it was read; all others go by uvicorn and the lane."""

import asyncio
import time

import httpx
import numpy as np
import pytest
import uvloop

from service import fast_calls
from service.edge.connection import GuardedConnection
from service.fast_calls import FastCalls, answer_head, call_head
from service.hop import Hop
from service.lane import Lane, answers, apis
from tests.hop_server import Server, rows


@pytest.fixture(params=[asyncio.run, uvloop.run])
def run(request):
    """The loop of a test, and the one of a worker."""
    return request.param


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "service.sock")


@pytest.fixture
def seen():
    """The paths that came to the lane."""
    return []


@pytest.fixture
def server(path, seen):
    """A service whose dispatcher has learnt all that it has to."""

    class Connection(GuardedConnection):
        """With a fast path of its own."""

    def make(app, behind):
        Connection.fast_path = fast = FastCalls(answers(app), {"double": 7})
        fast._learning.clear()
        inner = Lane(apis(app), behind, {"double": 7})

        async def noted(scope, receive, send):
            if scope["type"] == "http":
                seen.append(scope["path"])
            await inner(scope, receive, send)

        return noted

    with Server({"uds": path, "http": Connection}, keep_alive=1, make=make) as running:
        yield running


def call(asked, name="double", more=""):
    """What a hop sends."""
    return call_head(name, asked, more) + asked.tobytes()


def answer(asked):
    """What is answered to it."""
    return answer_head(asked) + (2 * asked).tobytes()


async def opened(path):
    """A connection of which more than the first bytes are read at once."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"GET /livez HTTP/1.1\r\nhost: hop\r\n\r\n")
    await reader.readuntil(b"a probe")
    return reader, writer


def test_a_lone_call_never_comes_to_the_lane(server, seen, path, run):
    """Its rows are the API's; the connection stays open for the next."""

    async def scene():
        reader, writer = await opened(path)
        for count in (1, 5, 300):
            writer.write(call(rows(count)))
            assert await reader.readexactly(len(answer(rows(count)))) == answer(rows(count))

    run(scene())
    assert seen == ["/livez"]
    assert server.service.sizes == [1, 5, 300]


def test_the_first_calls_go_by_the_dispatcher(server, seen, path, run):
    """It learns of them how long batches take; then they go the short way."""

    async def scene():
        hop = Hop("file://" + path)
        fast = server._server.config.http_protocol_class.fast_path
        fast._learning["double"] = 3
        for _ in range(9):
            np.testing.assert_array_equal(await hop.call("double", rows(2)), 2 * rows(2))

    run(scene())
    assert seen == ["/rows/double"] * 3


def test_calls_that_came_together_are_merged(server, seen, path, run, monkeypatch):
    """By BentoML's dispatcher, whatever connection they came by; each has its own rows."""

    async def scene():
        lines = [await opened(path) for _ in range(8)]
        lines[0][1].write(call(rows(1), "slow"))  # what comes meanwhile waits in the kernel
        await asyncio.sleep(0.1)
        for count, (_, writer) in enumerate(lines[1:], 1):
            writer.write(call(rows(count)))
        for count, (reader, _) in enumerate(lines[1:], 1):
            told = await asyncio.wait_for(reader.readuntil((2 * rows(count)).tobytes()), 5)
            assert told.startswith(b"HTTP/1.1 200 OK\r\n")

    run(scene())
    assert seen.count("/rows/double") == 7
    assert sum(server.service.sizes) == 28
    assert len(server.service.sizes) < 7


@pytest.mark.parametrize("at", [1, 30, 90, -1])
def test_a_call_in_pieces_is_the_lanes(server, seen, path, run, at):
    """Wherever it was cut; the next one is whole again."""

    async def scene():
        reader, writer = await opened(path)
        data = call(rows(9))
        writer.write(data[:at])
        await asyncio.sleep(0.1)
        writer.write(data[at:])
        await reader.readuntil((2 * rows(9)).tobytes())
        writer.write(data)
        await reader.readexactly(len(answer(rows(9))))

    run(scene())
    assert seen == ["/livez", "/rows/double"]


def test_calls_one_behind_the_other_are_answered_in_turn(server, path, run):
    """On one connection, in one piece or in two that were read at once."""

    async def scene():
        reader, writer = await opened(path)
        for pieces in ([call(rows(1)) + call(rows(2), "slow")], [call(rows(2), "slow"), call(rows(1))]):
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0)
            told = b""
            while told.count(b"HTTP/1.1 200 OK") < 2 or told.count(b"\r\n\r\n") < 2 or len(told) < 21:
                told += await asyncio.wait_for(reader.read(1 << 16), 5)
                await asyncio.sleep(0.05)
            first, second = (2 * rows(1)).tobytes(), rows(2)[:, ::-1].tobytes()
            if pieces[0].startswith(b"POST /rows/slow"):
                first, second = second, first
            assert told.index(first) < told.index(second)

    run(scene())


def test_what_is_inside_another_request_is_no_call(server, seen, path, run):
    """Of a body that comes in pieces, one may look like a call; so may a header's value."""

    async def scene():
        inner = call(rows(2))
        outer = np.frombuffer(inner, np.uint8).reshape(-1, 1)
        for begin, told in (
            (call_head("slow", outer), answer_head(outer)),
            (b"POST /rows/double HTTP/1.1\r\nhost: hop\r\nx: ", b"HTTP/1.1 400"),
        ):
            reader, writer = await opened(path)
            writer.write(begin)
            await asyncio.sleep(0.1)
            writer.write(inner)
            first = await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)
            assert first.startswith(told[:12])

    run(scene())
    assert seen == ["/livez", "/rows/slow", "/livez"]
    assert server.service.sizes == []


def inside(server, *steps):
    """Do to a server's connections what no client can time, in one turn of its loop; what broke there."""
    connections = list(server._server.server_state.connections)
    loop, broke = connections[0].loop, []

    def do():
        loop.set_exception_handler(lambda _, context: broke.append(context))
        for step in steps:
            step(*connections)

    loop.call_soon_threadsafe(do)
    return broke


def test_one_is_answered_before_what_was_read_behind_it(server, path):
    """Though it is no call, and calls of others wait, too."""

    async def scene():
        lines = [await opened(path) for _ in range(2)]
        probe = b"GET /readyz HTTP/1.1\r\nhost: hop\r\n\r\n"
        inside(
            server,
            lambda one, other: one.data_received(call(rows(2))),
            lambda one, other: other.data_received(call(rows(2))),
            lambda one, other: (one.data_received(probe), other.data_received(probe)),
        )
        for reader, _ in lines:
            told = await asyncio.wait_for(reader.readuntil(b"a probe"), 5)
            assert (2 * rows(2)).tobytes() in told

    asyncio.run(scene())


def test_one_behind_a_call_that_is_under_way_waits_for_it(server, seen, path):
    """Which takes the dispatcher some turns of the loop."""

    async def scene():
        reader, _ = await opened(path)
        slow = call(rows(5), more="x-trace: 1\r\n")
        inside(server, lambda each: each.data_received(slow), lambda each: each.data_received(call(rows(2))))
        told = await asyncio.wait_for(reader.readuntil(b"content-length: 14\r\n"), 5)
        assert (2 * rows(5)).tobytes() in told

    asyncio.run(scene())


def test_a_server_that_ends_while_one_waits_says_that_it_is_the_last(server, seen, path):
    """It goes by uvicorn then."""

    async def scene():
        reader, _ = await opened(path)
        inside(server, lambda each: each.data_received(call(rows(2))), lambda each: each.shutdown())
        return await asyncio.wait_for(reader.read(), 5)

    assert b"connection: close" in asyncio.run(scene())
    assert seen == ["/livez", "/rows/double"]


def test_one_that_was_lost_while_it_waited_is_nobodys(server, seen, path):
    """Nothing is computed for it, and nothing breaks."""

    async def scene():
        await opened(path)
        broke = inside(
            server,
            lambda each: each.data_received(call(rows(2))),
            lambda each: each.transport.abort(),
            lambda each: each.connection_lost(None),
        )
        await asyncio.sleep(0.2)
        return broke

    assert asyncio.run(scene()) == []
    assert server.service.sizes == []


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (call(rows(2), "nothing"), b"404"),
        (call(rows(2, 8)), b"400"),
        (call(rows(2)).replace(b"x-row-bytes: 7", b"x-row-bytes: 0"), b"400"),
        (call(rows(2)).replace(b"x-row-bytes: 7", b"x-row-bytes: 5"), b"400"),
        (call(rows(2)).replace(b"content-length: 14", b"content-length: 0")[:-14], b"400"),
        (call(rows(2)).replace(b"content-length: 14", b"content-length: 14\r\ncontent-length: 14"), b"400"),
        (call(rows(2)).replace(b"host: hop\r\n", b""), b"400"),
        (call(rows(2)).replace(b"host: hop\r\n", b"host: hop\r\nhost: hop\r\n"), b"400"),
        (call(rows(2)).replace(b"HTTP/1.1", b"HTTP/1.2"), b"400"),
        (call(rows(2)).replace(b"/rows/double", b"/rows/../double"), b"404"),
    ],
)
def test_what_is_wrong_is_refused_as_ever(server, path, run, data, status):
    """The fast path takes what it knows, and judges nothing."""

    async def scene():
        reader, writer = await opened(path)
        writer.write(data)
        return await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)

    assert run(scene()).split(b" ")[1] == status
    assert server.service.sizes == []


def test_a_call_that_breaks_is_tried_once_more_and_then_a_500(server, seen, path, run):
    """As of the lane; the service goes on."""

    async def scene():
        reader, writer = await opened(path)
        writer.write(call(rows(2), "breaks"))
        assert (await reader.readuntil(b"\r\n")).split(b" ")[1] == b"500"
        reader, writer = await opened(path)
        writer.write(call(rows(2)))
        await reader.readexactly(len(answer(rows(2))))

    run(scene())
    assert seen == ["/livez", "/rows/breaks", "/livez"]


def test_a_call_with_more_in_its_head_is_the_lanes(server, seen, path, run):
    """As one that is traced."""

    async def scene():
        reader, writer = await opened(path)
        writer.write(call(rows(2), more="x-trace: 1\r\n"))
        await reader.readuntil((2 * rows(2)).tobytes())

    run(scene())
    assert seen == ["/livez", "/rows/double"]


def test_a_client_that_left_costs_nothing(server, path, run):
    """Whether it closed behind its call, or while that waited."""

    async def scene():
        lines = [await opened(path) for _ in range(6)]
        lines[0][1].write(call(rows(1), "slow"))
        await asyncio.sleep(0.05)
        for _, writer in lines[1:]:
            writer.write(call(rows(3)))
            await writer.drain()
            writer.transport.abort()
        reader, writer = await opened(path)
        writer.write(call(rows(2)))
        await reader.readexactly(len(answer(rows(2))))

    run(scene())


def test_what_is_idle_is_closed_as_ever(server, path, run):
    """After the server's patience between two requests, from the last answer on."""

    async def scene():
        reader, writer = await opened(path)
        await asyncio.sleep(0.6)
        writer.write(call(rows(2)))
        await reader.readexactly(len(answer(rows(2))))
        start = time.monotonic()
        assert await asyncio.wait_for(reader.read(), 5) == b""
        return time.monotonic() - start

    assert run(scene()) > 0.8


def test_a_server_that_ends_says_that_an_answer_is_the_last(server, path):
    """So what is asked meanwhile goes by uvicorn, which says it."""

    async def scene():
        reader, writer = await opened(path)
        server._server.should_exit = True
        await asyncio.sleep(0.4)
        writer.write(call(rows(2)))
        return await asyncio.wait_for(reader.read(), 5)

    told = asyncio.run(scene())
    assert b"connection: close" in told
    assert told.endswith((2 * rows(2)).tobytes())


def test_who_is_no_hop_is_answered_too(server, path):
    """By whatever it sends its calls with."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://x") as client:
        told = client.post("/rows/double", content=rows(2).tobytes(), headers={fast_calls.WIDTH.decode(): "7"})
    assert told.content == (2 * rows(2)).tobytes()
