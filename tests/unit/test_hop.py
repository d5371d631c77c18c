"""A hop between two processes: raw rows over a socket, and what becomes of a call when the other side misbehaves."""

import asyncio
import socket
import time
from functools import partial

import bentoml
import httpx
import numpy as np
import pytest
import uvloop
from _bentoml_impl.client import RemoteProxy

from recsys.errors import StageError
from service import hop as hops
from service import lane as lanes
from service.callees import Callees
from service.hop import Hop
from service.lane import Lane
from service.telemetry.metrics import rows_together
from tests.deployment import free_port
from tests.hop_server import Server, rows


@pytest.fixture(autouse=True)
def kept(monkeypatch):
    """Connections are as good as kept for ever; to be called with the seconds that they are."""

    def keep(seconds):
        monkeypatch.setattr(hops, "KEPT_SECONDS", seconds)

    keep(60)
    return keep


@pytest.fixture(params=[asyncio.run, uvloop.run])
def run(request):
    """The loop of a test, and the one of a worker."""
    return request.param


@pytest.fixture
def path(tmp_path):
    return tmp_path / "with space.sock"


@pytest.fixture
def url(path):
    return "file://" + str(path).replace(" ", "%20")


@pytest.fixture
def server(path):
    with Server({"uds": str(path)}) as running:
        yield running


def test_rows_come_back_as_the_api_gave_them(server, url, run):
    """Few and many, from whatever part of an array, merged or not, over one connection that stays open."""

    async def scene():
        hop = Hop(url)
        for asked in (rows(1), rows(3)[::2], rows(60_000, 64)):
            answer = await hop.call("double", asked)
            np.testing.assert_array_equal(answer, 2 * asked)
            answer[0] = 0  # it is the caller's to write to
            assert server.connections == 1
        np.testing.assert_array_equal(await hop.call("slow", rows(2)), rows(2)[:, ::-1])

    run(scene())


def test_calls_at_once_do_not_mix(server, url, run):
    """They are computed together, each has a connection of its own, and there are no more than calls at once."""

    async def scene():
        hop = Hop(url)
        for _ in range(3):
            asked = [rows(count) for count in range(1, 30)]
            answers = await asyncio.gather(*(hop.call("double", each) for each in asked))
            for one, other in zip(asked, answers, strict=True):
                np.testing.assert_array_equal(2 * one, other)
        return server.connections

    assert run(scene()) <= 29
    assert max(server.service.sizes) > 29


def test_a_call_that_is_cancelled_leaves_nothing_to_the_next(server, url, run):
    """Its answer may still come; nobody else gets it, and its connection is closed."""

    async def scene():
        hop = Hop(url)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(hop.call("slow", rows(9)), 0.05)
        answer = await hop.call("double", rows(1))
        end = time.monotonic() + 5
        while server.connections > 1 and time.monotonic() < end:
            await asyncio.sleep(0.05)
        return answer, server.connections

    answer, connections = run(scene())
    np.testing.assert_array_equal(answer, 2 * rows(1))
    assert connections == 1


def test_what_breaks_there_is_a_stage_that_is_left_out_here(server, url, run):
    """So is an API that is not there; the next call is answered."""

    async def scene():
        hop = Hop(url)
        for name, status in (("breaks", "500"), ("nothing", "404")):
            with pytest.raises(StageError, match=status):
                await hop.call(name, rows(1))
        return await hop.call("double", rows(1))

    np.testing.assert_array_equal(run(scene()), 2 * rows(1))


def test_a_connection_that_was_closed_meanwhile_is_replaced(path, url, run):
    """The service restarted, or its patience ended: the caller notices nothing."""

    async def scene():
        hop = Hop(url)
        with Server({"uds": str(path)}, keep_alive=1) as server:
            await hop.call("double", rows(1))
            while server.connections:
                await asyncio.sleep(0.05)
            await hop.call("double", rows(1))
        path.unlink(missing_ok=True)
        with Server({"uds": str(path)}):
            return await hop.call("double", rows(2))

    np.testing.assert_array_equal(run(scene()), 2 * rows(2))


def test_a_connection_that_closes_as_it_is_asked_is_replaced(path, url, run):
    """Its end and the request met on the way; asked twice the same is answered. A new one that closes is no better."""
    asked = []

    async def once(reader, writer):
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(7)
            asked.append(len(asked))
            if len(asked) in (2, 4, 5):
                break
            writer.write(b"HTTP/1.1 200 OK\r\nx-row-bytes: 7\r\ncontent-length: 7\r\n\r\n" + rows(1).tobytes())
        writer.close()

    async def scene():
        hop = Hop(url)
        async with await asyncio.start_unix_server(once, path):
            for _ in range(2):
                np.testing.assert_array_equal(await hop.call("double", rows(1)), rows(1))
            assert len(asked) == 3
            with pytest.raises(StageError, match="closed"):
                await hop.call("double", rows(1))
            assert len(asked) == 5

    run(asyncio.wait_for(scene(), 10))


@pytest.mark.parametrize(("seconds", "both"), [(0.02, True), (60, False)])
def test_calls_come_to_every_worker_in_time(path, url, run, kept, seconds, both):
    """Who calls one thing after another has one connection at a time, and each is one worker's."""
    kept(seconds)

    async def scene(workers):
        hop = Hop(url)
        end = time.monotonic() + (20 if both else 0.5)
        while time.monotonic() < end and not all(worker.service.sizes for worker in workers):
            await asyncio.sleep(0.001)
            np.testing.assert_array_equal(await hop.call("double", rows(1)), 2 * rows(1))
        await asyncio.sleep(0.1)
        assert sum(worker.connections for worker in workers) == 1

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        with Server({}, listening=listening) as one, Server({}, listening=listening) as other:
            run(scene([one, other]))
    assert (bool(one.service.sizes) and bool(other.service.sizes)) is both


def test_where_nobody_listens_it_says_so_at_once(url, run):
    """A dead service costs no timeout."""
    with pytest.raises(StageError, match="nobody listens"):
        run(Hop(url).call("double", rows(1)))


def test_a_service_that_dies_in_the_middle_is_no_hang(path, url, run):
    """Half an answer is none."""

    async def scene():
        async def half(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nx-row-bytes: 7\r\ncontent-length: 70\r\n\r\n1234567")
            writer.close()

        async with await asyncio.start_unix_server(half, path):
            with pytest.raises(StageError, match="closed"):
                await asyncio.wait_for(Hop(url).call("double", rows(1)), 5)

    run(scene())


def test_over_a_port_too(run):
    """Where BentoML has no unix sockets."""
    port = free_port()
    with Server({"port": port}):
        answer = run(Hop(f"tcp://127.0.0.1:{port}").call("double", rows(2)))
    np.testing.assert_array_equal(answer, 2 * rows(2))


def raw(path, *lines, body=b""):
    """What a service says to a request that the hop would not send; the status."""

    async def scene():
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write("\r\n".join([*lines, "host: x", "connection: close", "", ""]).encode() + body)
        answer = await reader.read()
        writer.close()
        return answer

    return asyncio.run(scene())


def test_all_else_is_refused_but_the_probes(server, path):
    """BentoML's own way to call an API unpickles what it is sent: here nothing is behind it."""
    for asked in (
        "GET /double",
        "POST /double",
        "POST /readyz/../double",
        "GET /schema.json",
        "GET /docs.json",
        "GET /",
    ):
        assert raw(path, f"{asked} HTTP/1.1").startswith(b"HTTP/1.1 404"), asked
    for asked in ("/livez", "/readyz"):
        assert b"a probe" in raw(path, f"GET {asked} HTTP/1.1")


def test_a_host_of_one_service_has_its_metrics(server, path, tmp_path, monkeypatch):
    """The lane answers GET /metrics itself, since BentoML's metrics are off."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    answer = raw(path, "GET /metrics HTTP/1.1")
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"content-type: text/plain; version=" in answer


@pytest.mark.parametrize(
    "lines",
    [
        ["content-length: 7"],
        ["x-row-bytes: 0", "content-length: 7"],
        ["x-row-bytes: -7", "content-length: 7"],
        ["x-row-bytes: seven", "content-length: 7"],
        ["x-row-bytes: 3", "content-length: 7"],
        ["x-row-bytes: 99999999999", "content-length: 7"],
        ["x-row-bytes: 7", "content-length: 0"],
        ["x-row-bytes: 7"],
    ],
)
def test_what_is_no_rows_is_refused(server, path, lines, caplog):
    """With a sentence; the API is not asked, and nothing is thrown."""
    answer = raw(path, "POST /rows/double HTTP/1.1", *lines, body=bytes(7))
    assert answer.startswith(b"HTTP/1.1 400")
    assert server.service.sizes == []
    assert not caplog.records


def test_rows_of_another_width_are_refused(tmp_path):
    """A gateway of another version may send them: no model reads them as if they were its own."""
    path = tmp_path / "narrow.sock"
    with Server({"uds": str(path)}, make=partial(Lane, widths={"double": 7})) as narrow:
        for width, status in ((14, b"400"), (7, b"200")):
            lines = [f"x-row-bytes: {width}", "content-length: 14"]
            answer = raw(path, "POST /rows/double HTTP/1.1", *lines, body=bytes(14))
            assert answer.startswith(b"HTTP/1.1 " + status)
        assert narrow.service.sizes == [2]


def test_rows_without_an_end_are_refused(server, path, monkeypatch):
    """Whoever sends them is told so before they are in memory."""
    monkeypatch.setattr(lanes, "MOST_BYTES", 100)
    answer = raw(path, "POST /rows/double HTTP/1.1", "x-row-bytes: 7", "content-length: 700", body=bytes(700))
    assert answer.startswith(b"HTTP/1.1 413")


def test_the_lane_merges_by_bentomls_dispatcher_and_not_by_its_api(run):
    """The API itself, over HTTP, is behind the lane: nobody gets there."""

    @bentoml.service(metrics={"enabled": False})
    class Doubles:
        @bentoml.api(batchable=True, max_latency_ms=60_000)
        def double(self, rows: np.ndarray) -> np.ndarray:
            return 2 * rows

    Doubles.add_asgi_middleware(Lane)
    port = free_port()
    before = counted("double")
    with Server({"port": port}, app=Doubles.to_asgi(is_main=False)):
        for count in (1, 2):
            answer = run(Hop(f"tcp://127.0.0.1:{port}").call("double", rows(1)))
            np.testing.assert_array_equal(answer, 2 * rows(1))
            assert counted("double") == before + count
            native = httpx.post(f"http://127.0.0.1:{port}/double", json={"rows": [[1, 2]]})
            assert native.status_code == 404


def counted(api):
    """How many calls a lane has computed."""
    samples = rows_together.labels(api).collect()[0].samples
    return next(sample.value for sample in samples if sample.name.endswith("_count"))


def test_what_bentoml_has_for_a_dependency_leads_to_a_hop():
    """Its own client would do, and nobody would notice but for the time."""
    proxy = RemoteProxy("tcp://127.0.0.1:1")
    callees = Callees.remote(proxy, proxy)
    assert isinstance(callees.retrieve.func.__self__, Hop)
    assert callees.rank.args == ("rank",)
