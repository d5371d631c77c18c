"""A deployment with a certificate, as its users start it."""

import ssl
import time

import httpx
import pytest

from recsys.store import RedisGenerationStore
from tandem_client import Client
from tests import tiny
from tests.certificates import Authority
from tests.deployment import READY_SECONDS, Deployment
from tests.server import Server
from tests.unit.test_tls import V, client_context, handshake

pytestmark = pytest.mark.slow


def test_both_doors_serve_tls_alone(tiny_world, tmp_path):
    """`serve` finds it ready over TLS, both doors answer a client, and nothing older than TLS 1.2 is spoken."""
    authority = Authority(tmp_path / "certificates")
    cert, key = authority.issue("server")
    store = Server(tmp_path / "store").start()
    tiny.publish(tiny_world[0], RedisGenerationStore(store.url))
    tls = {"TANDEM_TLS_CERT": str(cert), "TANDEM_TLS_KEY": str(key)}
    deployment = Deployment(tmp_path / "home", tmp_path / "service.log", REDIS_URL=store.url, **tls)
    deployment.start()
    try:
        end = time.monotonic() + READY_SECONDS
        while "ready after" not in deployment.log.read_text():
            assert deployment.process.poll() is None, deployment.log.read_text()
            assert time.monotonic() < end, deployment.log.read_text()
            time.sleep(0.2)
        assert f"https://127.0.0.1:{deployment.port} and grpcs://" in deployment.log.read_text()
        for url in (f"https://127.0.0.1:{deployment.port}", f"grpcs://{deployment.grpc}"):
            with Client(url, ca=authority.ca) as client:
                assert client.recommend("you", mode="realtime").degraded == []
        for port in (deployment.port, deployment.grpc_port):
            assert handshake(port, client_context(V.TLSv1_2, V.TLSv1_3)) == "TLSv1.3"
            for old in (V.TLSv1, V.TLSv1_1):
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    handshake(port, client_context(V.TLSv1, old))
        with httpx.Client(verify=str(authority.ca), base_url=f"https://127.0.0.1:{deployment.port}") as client:
            assert client.get("/readyz").status_code == 200
            assert client.get("/readyz").headers["strict-transport-security"]
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{deployment.port}/readyz")
    finally:
        deployment.stop()
        store.stop()
