"""TLS at the doors and the admin port: versions, ciphers, and the certificates that stop a start."""

import asyncio
import contextlib
import ssl

import pytest
import uvicorn
from cryptography.hazmat.primitives import serialization

from recsys.errors import SettingsError
from service.auth.tls import Tls
from service.http.admin import AdminPort
from service.settings import Settings
from tandem_client import Client, RequestRefused, Unavailable
from tests.fakes.fake_recommender import FakeRecommender, RpcServer
from tests.servers.certificates import Authority
from tests.servers.deployment import free_port
from tests.servers.uvicorn_server import running

V = ssl.TLSVersion


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
def tls(pair):
    return Tls(*pair)


async def app(scope, _, send):
    """Answer 404 to every request."""
    if scope["type"] == "http":
        body = b'{"error": {"code": "not_found", "message": "There is nothing here."}}'
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 404, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def http_server(**more):
    """uvicorn with these arguments in front of `app`."""
    return running(uvicorn.Config(app, port=free_port(), log_level="critical", lifespan="off", **more))


def handshake(port, context):
    """The protocol version that a server and a client of this context agree on."""

    async def scene():
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        version = writer.get_extra_info("ssl_object").version()
        writer.transport.abort()
        return version

    return asyncio.run(scene())


def client_context(least, most, ciphers="ALL:@SECLEVEL=0"):
    """A client that speaks the versions from least to most, with weak ciphers too."""
    made = ssl.create_default_context()
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.set_ciphers(ciphers)
    made.minimum_version, made.maximum_version = least, most
    made.set_alpn_protocols(["h2", "http/1.1"])
    return made


OLD = [(V.TLSv1, V.TLSv1), (V.TLSv1, V.TLSv1_1), (V.TLSv1_2, V.TLSv1_2, "ECDHE+AES+SHA1:@SECLEVEL=0")]


def test_tls_1_2_is_the_oldest_version_and_its_weak_ciphers_are_refused(tls):
    """By uvicorn as BentoML starts it and by gRPC."""
    with http_server(**tls.uvicorn_options()) as http, RpcServer(FakeRecommender(), tls=tls) as rpc:
        for port in (http.config.port, rpc.port):
            for most, agreed in ((V.TLSv1_2, "TLSv1.2"), (V.TLSv1_3, "TLSv1.3")):
                assert handshake(port, client_context(V.TLSv1_2, most)) == agreed
            for old in OLD:
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    handshake(port, client_context(*old))


def test_the_admin_port_serves_only_tls(tls, authority):
    """An HTTPS client gets an answer; a plain HTTP client gets none."""
    port = free_port()

    async def scene():
        admin = AdminPort(app, "127.0.0.1", port, tls)
        await admin.start()
        try:
            version = await asyncio.to_thread(handshake, port, ssl.create_default_context(cafile=authority.ca))
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                assert b"HTTP" not in await reader.read()
            writer.close()
        finally:
            await admin.stop()
        return version

    assert asyncio.run(scene()) == "TLSv1.3"


def lock(key, into):
    """Write the same key with a password."""
    plain = serialization.load_pem_private_key(key.read_bytes(), None)
    form, locked = serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    into.write_bytes(plain.private_bytes(serialization.Encoding.PEM, form, locked))


@pytest.mark.parametrize(
    ("cert", "key", "message"),
    [
        ("server.pem", None, "TANDEM_TLS_CERT is set and TANDEM_TLS_KEY is not"),
        ("none.pem", "server.key", "none.pem, named by TANDEM_TLS_.*can't be read: No such file"),
        ("server.pem", "client.key", "are not a certificate and its key"),
        ("server.pem", "server.pem", "are not a certificate"),
        ("server.pem", "locked.key", "without a password .the key has a password"),
    ],
)
def test_files_that_are_not_a_pair_stop_the_start(folder, pair, authority, monkeypatch, cert, key, message):
    """The sentence names the variables and the reason."""
    authority.issue("client", server=False)
    lock(folder / "server.key", folder / "locked.key")
    for name, value in (("CERT", cert), ("KEY", key)):
        monkeypatch.delenv(f"TANDEM_TLS_{name}", raising=False)
        if value:
            monkeypatch.setenv(f"TANDEM_TLS_{name}", str(folder / value))
    with pytest.raises(SettingsError, match=message):
        Tls.from_settings(Settings()).check()


def test_certificates_without_tls_are_refused(authority, monkeypatch):
    """TANDEM_ADMIN_TLS needs the certificate of the doors, and the client needs an address with TLS."""
    monkeypatch.setenv("TANDEM_ADMIN_TLS", "true")
    with pytest.raises(SettingsError, match="TANDEM_ADMIN_TLS needs TLS"):
        Settings()
    with pytest.raises(ValueError, match="without TLS"):
        Client("http://127.0.0.1:1", ca=authority.ca)


def test_the_client_shows_its_certificate_to_a_server_that_requires_one(authority, pair):
    """As a proxy with mTLS does: without a certificate there is no connection."""
    cert, key = pair
    required = {"ssl_certfile": cert, "ssl_keyfile": key, "ssl_ca_certs": authority.ca}
    with http_server(**required, ssl_cert_reqs=ssl.CERT_REQUIRED) as server:
        url = f"https://127.0.0.1:{server.config.port}"
        own = authority.issue("client", server=False)
        with Client(url, ca=authority.ca, cert=own) as client, pytest.raises(RequestRefused, match="nothing here"):
            client.recommend("you")
        with Client(url, 1, ca=authority.ca) as client, pytest.raises(Unavailable):
            client.recommend("you")
