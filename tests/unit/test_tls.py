"""TLS at both doors: what is let in, by which protocol, and what stops a start."""

import asyncio
import contextlib
import socket
import ssl
import time

import pytest
import uvicorn
from cryptography.hazmat.primitives import serialization

from recsys.errors import SettingsError
from service.auth import tls as tls_module
from service.auth.tls import Tls, TlsServer
from service.edge import bounds
from service.edge.connection import GuardedConnection
from service.http.admin import AdminPort
from service.settings import Settings
from tandem_client import Client, RequestRefused, Unavailable
from tests.certificates import Authority
from tests.deployment import free_port
from tests.fake_recommender import FakeRecommender, RpcServer
from tests.unit.test_attacks import served


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder):
    return Authority(folder)


@pytest.fixture(scope="module")
def pair(authority):
    return authority.issue("server")


@pytest.fixture(scope="module")
def mine(authority):
    return authority.issue("client", server=False)


@pytest.fixture(scope="module")
def strange(folder):
    """A client of another authority."""
    return Authority(folder / "other").issue("stranger", server=False)


@pytest.fixture
def tls(pair, authority):
    return Tls(*pair, authority.ca)


@pytest.fixture
def http(tls, monkeypatch):
    """The HTTP door of the gateway over mTLS, as uvicorn is told of it; its port."""
    monkeypatch.setattr(uvicorn.config, "create_ssl_context", uvicorn.config.create_ssl_context)
    monkeypatch.setattr(uvicorn.protocols.http.auto, "AutoHTTPProtocol", GuardedConnection)
    monkeypatch.setattr(GuardedConnection, "certified", True)
    monkeypatch.setattr(tls_module, "LOOK_SECONDS", 0.1)
    server = TlsServer(tls)
    server.take_place()
    told = tls.of_bentoml()
    with served(ssl_certfile=told["certfile"], ssl_keyfile=told["keyfile"], ssl_ciphers="TLSv1") as running:
        yield running.config.port, server


@pytest.fixture
def rpc(tls):
    """The gRPC door over mTLS; its port."""
    with RpcServer(FakeRecommender(), tls=tls) as running:
        yield running.port


def handshake(port, context, cert):
    """The protocol that a server and a client of this context agree on."""
    context.load_cert_chain(*cert)

    async def scene():
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        version = writer.get_extra_info("ssl_object").version()
        writer.transport.abort()
        return version

    return asyncio.run(scene())


def client_context(least, most, ciphers="ALL:@SECLEVEL=0"):
    """A client that is as old as can be made."""
    made = ssl.create_default_context()
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.set_ciphers(ciphers)
    made.minimum_version, made.maximum_version = least, most
    return made


V = ssl.TLSVersion


def test_a_client_of_the_deployment_is_let_in_and_a_stranger_is_not(http, rpc, authority, mine, strange):
    """Without a certificate: the probes and a sentence. With another's: nothing. The same verdict at both doors."""
    port, _ = http
    for url in (f"https://127.0.0.1:{port}", f"grpcs://127.0.0.1:{rpc}"):
        with Client(url, ca=authority.ca, cert=mine) as client:
            assert client.recommend("you").user_id == "you"
        with Client(url, 1, ca=authority.ca) as client, pytest.raises((RequestRefused, Unavailable)):
            client.forget("you")
        with Client(url, 1, ca=authority.ca, cert=strange) as client, pytest.raises(Unavailable):
            client.recommend("you")


def test_probes_are_asked_without_a_certificate(http):
    """Orchestrators have none to show; a verb is refused before it does anything."""
    context, told = client_context(V.TLSv1_2, V.TLSv1_3), {}
    for asked in ("GET /readyz", "DELETE /users/you", "GET /metrics", "GET /readyz/../status", "GET http://x/status"):

        async def scene(asked=asked):
            reader, writer = await asyncio.open_connection("127.0.0.1", http[0], ssl=context)
            writer.write(f"{asked} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
            answer = await reader.read()
            writer.transport.abort()
            return answer

        told[asked] = asyncio.run(scene())[9:12]
    assert told.pop("GET /readyz") == b"200"
    assert set(told.values()) == {b"403"}


@pytest.fixture
def lax(pair):
    """A server that takes what is old and weak; its context."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*pair)
    made.minimum_version = V.TLSv1
    made.set_ciphers("ALL:@SECLEVEL=0")
    return made


OLD = [(V.TLSv1, V.TLSv1), (V.TLSv1, V.TLSv1_1), (V.TLSv1_2, V.TLSv1_2, "ECDHE+AES+SHA1:@SECLEVEL=0")]


def test_nothing_older_than_tls_1_2(http, rpc, mine, lax):
    """Nor a cipher of it without authentication, whatever list BentoML hands down; a lax server would take them."""
    for port in (http[0], rpc):
        for most, agreed in ((V.TLSv1_2, "TLSv1.2"), (V.TLSv1_3, "TLSv1.3")):
            assert handshake(port, client_context(V.TLSv1_2, most), mine) == agreed
        for old in OLD:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                handshake(port, client_context(*old), mine)

    async def taken(context):
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=lax)
        async with server:
            return await asyncio.to_thread(handshake, server.sockets[0].getsockname()[1], context, mine)

    for old in OLD:
        assert asyncio.run(taken(client_context(*old)))


def serial(port, mine, ca):
    """The number of the certificate that a server shows."""
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(*mine)

    async def scene():
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        found = writer.get_extra_info("peercert")["serialNumber"]
        writer.transport.abort()
        return found

    return asyncio.run(scene())


def lock(key, into):
    """The same key with a password."""
    plain = serialization.load_pem_private_key(key.read_bytes(), None)
    form, locked = serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    into.write_bytes(plain.private_bytes(serialization.Encoding.PEM, form, locked))


async def watched(server, change):
    """Change a file under its eyes."""
    task = asyncio.create_task(server.watch())
    await asyncio.sleep(0.2)
    change()
    await asyncio.sleep(0.5)
    task.cancel()


def test_a_client_ca_that_is_taken_out_is_believed_no_more(http, rpc, tls, authority, mine, folder):
    """At both doors, for new connections and for those that take a session of before up again; one added is let in."""
    port, server = http
    other = Authority(folder / "second")
    theirs, before = other.issue("theirs", server=False), authority.ca.read_bytes()
    doors = [f"https://127.0.0.1:{port}", f"grpcs://127.0.0.1:{rpc}"]
    ours = folder / "trusted.pem"  # by clients, who know the server as before
    ours.write_bytes(before)

    def let_in(cert, seconds=20):
        """seconds: who is not let in tries again for as long."""
        answers = []
        for url in doors:
            try:
                with Client(url, seconds, ca=ours, cert=cert) as client:
                    answers.append(client.recommend("you").user_id == "you")
            except Unavailable:
                answers.append(False)
        return answers

    held = resumed(port, mine, None)
    assert let_in(mine) == [True, True]
    assert let_in(theirs, 2) == [False, False]
    try:
        asyncio.run(watched(server, lambda: authority.ca.write_bytes(other.ca.read_bytes())))
        assert let_in(theirs) == [True, True]
        assert let_in(mine, 2) == [False, False]
        with pytest.raises((ssl.SSLError, ConnectionError)):
            resumed(port, mine, held)
    finally:
        authority.ca.write_bytes(before)


def resumed(port, cert, session):
    """A client's session with a server, a new one or one that takes up another; what was read is thrown away."""
    context, told = client_context(V.TLSv1_2, V.TLSv1_2), b"GET /status HTTP/1.1\r\nhost: x\r\n\r\n"
    context.load_cert_chain(*cert)
    if session is not None:
        context, session = session
    with (
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        context.wrap_socket(plain, server_hostname="x", session=session) as secured,
    ):
        secured.sendall(told)
        secured.recv(1000)
        return context, secured.session


def test_a_certificate_that_is_replaced_is_shown_without_a_restart(http, rpc, pair, authority, mine, caplog):
    """At both doors; one that is none leaves the last in force, and the log says so once."""
    port, server = http
    before, kept = [serial(each, mine, authority.ca) for each in (port, rpc)], [path.read_bytes() for path in pair]
    for wrong in (lambda: pair[0].write_text("no certificate"), lambda: lock(pair[1], pair[1])):
        caplog.clear()
        asyncio.run(watched(server, wrong))
        assert [serial(each, mine, authority.ca) for each in (port, rpc)] == before
        assert caplog.text.count("stays in force") == 1
        pair[0].write_bytes(kept[0])
    for path, data in zip(pair, kept, strict=True):
        path.write_bytes(data)

    def replace():
        for path, new in zip(pair, authority.issue("next"), strict=True):
            new.replace(path)

    asyncio.run(watched(server, replace))
    after = [serial(each, mine, authority.ca) for each in (port, rpc)]
    assert not set(after) & set(before)
    assert len(set(after)) == 1


def test_the_admin_port_speaks_tls_by_the_same_files(http, tls, authority, mine, strange):
    """And asks for the same certificates; nothing is answered in the clear."""
    port = free_port()

    async def app(_, __, send):
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def scene():
        admin = AdminPort(app, "127.0.0.1", port, tls)
        await admin.start()
        try:
            shown = await asyncio.to_thread(serial, port, mine, authority.ca)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.to_thread(resumed, port, strange, None)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                assert b"HTTP" not in await reader.read()
            writer.close()
        finally:
            await admin.stop()
        return shown

    assert asyncio.run(scene()) == serial(http[0], mine, authority.ca)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_server_ends_though_nobody_says_goodbye(pair, mine, monkeypatch, loop):
    """A client that leaves a TLS connection open which is at its end is cut off, by either loop."""
    monkeypatch.setattr(bounds, "IDLE_SECONDS", 0.1)
    monkeypatch.setattr(bounds, "CUT_SECONDS", 1.0)
    cert, key = map(str, pair)
    with (
        served(loop=loop, http=GuardedConnection, ssl_certfile=cert, ssl_keyfile=key) as running,
        socket.create_connection(("127.0.0.1", running.config.port), 10) as plain,
    ):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(plain) as silent:
            silent.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert silent.recv(1 << 16).startswith(b"HTTP/1.1 200")
            running.should_exit = True
            end = time.monotonic() + 5
            while running.server_state.connections:
                assert time.monotonic() < end
                time.sleep(0.05)


def test_an_admin_port_without_a_certificate_stops_the_start(monkeypatch):
    """It is asked to speak TLS by files that there are not."""
    monkeypatch.setenv("TANDEM_ADMIN_TLS", "true")
    with pytest.raises(SettingsError, match="TANDEM_ADMIN_TLS asks for TLS"):
        Settings()


def test_whoever_never_shakes_hands_is_closed(tls, monkeypatch):
    """As soon as whoever says nothing without TLS; uvicorn would wait for a minute."""
    monkeypatch.setattr(bounds, "HANDSHAKE_SECONDS", 0.3)

    async def scene():
        TlsServer(tls).hurry()
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=tls.context())
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            start = time.monotonic()
            assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.close()
            return time.monotonic() - start

    assert asyncio.run(scene()) < 5


@pytest.mark.parametrize(
    ("cert", "key", "ca", "said"),
    [
        ("server.pem", None, None, "TANDEM_TLS_CERT is set and TANDEM_TLS_KEY is not"),
        (None, "server.key", None, "TANDEM_TLS_KEY is set and TANDEM_TLS_CERT is not"),
        (None, None, "ca.pem", "TANDEM_TLS_CLIENT_CA asks for TLS"),
        ("none.pem", "server.key", None, "none.pem, named by TANDEM_TLS_.*can't be read: No such file"),
        ("server.pem", "client.key", None, "are no pair of a certificate and its key"),
        ("server.key", "server.key", None, "are no pair"),
        ("server.pem", "server.pem", None, "are no pair"),
        ("server.pem", "locked.key", None, "without a password .the key has a password"),
        ("server.pem", "server.key", "server.key", "TANDEM_TLS_CLIENT_CA=.* holds no certificate"),
    ],
)
def test_what_is_no_pair_stops_the_start(folder, pair, mine, monkeypatch, cert, key, ca, said):
    """With a sentence that names the variable."""
    lock(folder / "server.key", folder / "locked.key")
    for name, value in (("CERT", cert), ("KEY", key), ("CLIENT_CA", ca)):
        monkeypatch.delenv(f"TANDEM_TLS_{name}", raising=False)
        if value:
            monkeypatch.setenv(f"TANDEM_TLS_{name}", str(folder / value))
    with pytest.raises(SettingsError, match=said):
        Tls.of(Settings()).context()


def test_without_certificates_there_is_no_tls():
    """As in the demo, on loopback."""
    assert Tls.of(Settings()) is None


def test_a_client_says_when_its_certificates_would_be_unused(authority):
    """An address without TLS would send what it guards in the clear."""
    with pytest.raises(ValueError, match="without TLS"):
        Client("http://127.0.0.1:1", ca=authority.ca)
