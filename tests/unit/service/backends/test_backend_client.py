"""A call of a backend: raw rows over a socket, and the result if the backend fails, closes or restarts."""

import asyncio
import socket
import time
from contextlib import asynccontextmanager

import aiohttp
import numpy as np
import pytest

from recsys.errors import StageError
from service.backends import client as clients
from service.backends.accepted_requests import RowsOnly
from service.backends.client import BackendClient
from tests.edge.pickles import send
from tests.servers.backend_server import BackendServer, rows
from tests.servers.deployment import free_port

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def renewed(monkeypatch):
    """Sessions are not renewed during a test; call this with other seconds."""

    def renew(seconds):
        monkeypatch.setattr(clients, "SESSION_SECONDS", seconds)

    renew(60)
    return renew


@pytest.fixture
def path(tmp_path):
    return tmp_path / "with space.sock"


@pytest.fixture
def url(path):
    return "file://" + str(path).replace(" ", "%20")


@pytest.fixture
def server(path):
    with BackendServer({"uds": str(path)}) as running:
        yield running


@asynccontextmanager
async def connected(url, seconds=5.0):
    client = BackendClient(url, seconds)
    try:
        yield client
    finally:
        await client.close()


async def fewer_connections(server, count):
    end = time.monotonic() + 10
    while server.connections > count and time.monotonic() < end:
        await asyncio.sleep(0.02)
    return server.connections


async def test_rows_come_back_as_the_api_returned_them(server, url):
    """Few and many, from any part of an array, over one connection that stays open."""
    async with connected(url) as client:
        for sent in (rows(1), rows(3)[::2], rows(60_000, 64)):
            answer = await client.call("double", sent)
            np.testing.assert_array_equal(answer, 2 * sent)
            answer[0] = 0  # the caller may write to it
            assert server.connections == 1
        np.testing.assert_array_equal(await client.call("slow", rows(2)), rows(2)[:, ::-1])


async def test_a_cancelled_call_closes_its_connection(server, url):
    """No other call receives its answer."""
    async with connected(url) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.call("slow", rows(9)), 0.05)
        np.testing.assert_array_equal(await client.call("double", rows(1)), 2 * rows(1))
        assert await fewer_connections(server, 1) == 1


async def test_a_connection_that_closes_during_a_call_is_replaced_once(path, url):
    """The call is sent twice at most."""
    received = []

    async def serve(reader, writer):
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(7)
            received.append(len(received))
            if len(received) in (2, 4, 5):
                break
            writer.write(b"HTTP/1.1 200 OK\r\nx-row-bytes: 7\r\ncontent-length: 7\r\n\r\n" + rows(1).tobytes())
        writer.close()

    async with asyncio.timeout(10), await asyncio.start_unix_server(serve, path), connected(url) as client:
        for _ in range(2):
            np.testing.assert_array_equal(await client.call("double", rows(1)), rows(1))
        assert len(received) == 3
        with pytest.raises(StageError, match="double"):
            await client.call("double", rows(1))
        assert len(received) == 5


async def test_new_connections_reach_every_worker(path, url, renewed):
    """One worker serves all calls of a connection, so sessions are renewed."""
    renewed(0.02)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        with BackendServer({}, listening=listening) as one, BackendServer({}, listening=listening) as other:
            async with asyncio.timeout(20), connected(url) as client:
                while not (one.sizes and other.sizes and one.connections + other.connections == 1):
                    np.testing.assert_array_equal(await client.call("double", rows(1)), 2 * rows(1))
                    await asyncio.sleep(0.001)


async def test_a_renewed_session_does_not_break_calls_in_flight(server, url, renewed):
    """The session of before closes after the last of its calls."""
    renewed(0)
    async with connected(url) as client:
        slow = [asyncio.create_task(client.call("slow", rows(2))) for _ in range(5)]
        for _ in range(20):
            await client.call("double", rows(1))
        for answer in await asyncio.gather(*slow):
            np.testing.assert_array_equal(answer, rows(2)[:, ::-1])
        assert await fewer_connections(server, 1) <= 1


async def test_without_a_backend_a_call_fails_at_once(url, monkeypatch):
    """Without a server, and for a name without an address; the error names the URL."""
    resolve(monkeypatch)
    for place in (url, "http://ranking:3000"):
        async with connected(place) as client:
            with pytest.raises(StageError, match=f"nothing listens at {place}"):
                await client.call("double", rows(1))


async def test_an_address_that_does_not_answer_delays_a_call_only(monkeypatch):
    """The next address of the name is tried beside it. The kernel closes connections of a dead network."""
    port, options, real = free_port(), [], clients._socket

    def observed(address):
        made = real(address)
        options.append(made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
        return made

    monkeypatch.setattr(clients, "_socket", observed)
    with silent() as full, BackendServer({"port": port, "host": "127.0.0.1"}):
        resolve(monkeypatch, full, port)
        async with connected("http://ranking") as client:
            np.testing.assert_array_equal(await client.call("double", rows(2)), 2 * rows(2))
    assert set(options) == {clients.UNACKNOWLEDGED_MS}


async def test_a_call_ends_if_no_address_answers():
    """After the time to connect; here the queue of a listener is full, and the kernel drops packets."""
    with silent() as port:
        async with asyncio.timeout(20), connected(f"tcp://127.0.0.1:{port}", 0.1) as client:
            with pytest.raises(StageError, match="did not accept"):
                await client.call("double", rows(1))


async def test_connections_spread_over_the_addresses_of_a_name(monkeypatch, renewed):
    """New sessions use other addresses. While the DNS server is slow or fails, the addresses of before are used."""
    renewed(0)
    places = [{"port": free_port(), "host": "127.0.0.1"} for _ in range(2)]
    resolve(monkeypatch, *(place["port"] for place in places))
    with BackendServer(places[0]) as one, BackendServer(places[1]) as other:
        async with asyncio.timeout(60), connected("http://ranking") as client:
            while not (one.sizes and other.sizes):
                await client.call("double", rows(1))
            for seconds in (0, 60):
                resolve(monkeypatch, seconds=seconds)
                for _ in range(3):
                    await asyncio.wait_for(client.call("double", rows(1)), 10)


def resolve(monkeypatch, *ports, seconds=0):
    """Let every name have the address of loopback with each port; without a port no name is known, after seconds."""

    async def addresses(_, name, *__, **options):
        await asyncio.sleep(seconds)
        if not ports:
            raise OSError("Temporary failure in name resolution")
        each = {"hostname": name, "host": "127.0.0.1", "family": socket.AF_INET, "proto": 6, "flags": 0}
        return [each | {"port": port} for port in ports]

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", addresses)


class silent:  # noqa: N801  # used as a function
    """A port of loopback that does not answer: its queue is full."""

    def __enter__(self):
        self._listening = socket.socket()
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen(0)
        port = self._listening.getsockname()[1]
        self._first = socket.create_connection(("127.0.0.1", port))
        return port

    def __exit__(self, *_):
        self._first.close()
        self._listening.close()


def raw(path, *lines, body=b""):
    """The answer to a request that `BackendClient` does not send."""
    head = "\r\n".join([*lines, "host: x", "connection: close", "", ""]).encode()
    return send(str(path), head + body, 10)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server of one backend with the middleware of a worker, and its path; its API `double` takes rows of 7 bytes."""
    path, widths = tmp_path_factory.mktemp("guarded") / "backend.sock", {"double": 7}
    add = lambda service: service.add_asgi_middleware(RowsOnly, widths=widths)  # noqa: E731
    with BackendServer({"uds": str(path)}, add=add) as server:
        yield server, path


WIDTHS = ("0", "-7", "seven", "3", "99999999999", "14")


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["POST /double HTTP/1.1", "content-length: 7"], b"400"),
        *((["POST /double HTTP/1.1", f"x-row-bytes: {width}", "content-length: 7"], b"400") for width in WIDTHS),
        (["POST /double HTTP/1.1", "x-row-bytes: 7"], b"400"),
        (["POST /double HTTP/1.1", "x-row-bytes: 7", "transfer-encoding: chunked"], b"400"),
        (["POST /double HTTP/1.1", "x-row-bytes: 7", "upgrade: x", "connection: upgrade", "content-length: 7"], b"400"),
        (["POST /double HTTP/1.1", "x-row-bytes: 7", "content-length: 700000000"], b"413"),
        (["GET /double HTTP/1.1"], b"404"),
        (["GET / HTTP/1.1"], b"404"),
        (["GET /schema.json HTTP/1.1"], b"404"),
        (["POST /slow HTTP/1.1", "x-row-bytes: 7", "content-length: 7"], b"404"),
    ],
)
def test_what_is_no_call_with_rows_is_refused(guarded, lines, status, caplog):
    """By its head, before BentoML: no API is called, no page of BentoML is shown, and no traceback is logged."""
    server, path = guarded
    answer = raw(path, *lines, body=bytes(7))
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert server.sizes == []
    assert not [record for record in caplog.records if record.exc_info]
