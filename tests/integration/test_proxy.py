"""HAProxy with deploy/proxy/haproxy.cfg in front of a deployment: requests that pass, and requests that are refused."""

import asyncio
import signal
import socket
import ssl
import time
from collections import Counter
from contextlib import suppress

import grpc
import httpx
import pytest

from service.grpc.convert import SERVICE
from service.schema.verb_table import VERBS, Scope
from tests.edge import grpc_attacks, http_attacks
from tests.edge.smuggling import SMUGGLED
from tests.edge.world import ProxiedDeployments
from tests.servers.certificates import Authority
from tests.servers.deployment import READY_SECONDS, Deployment
from tests.servers.haproxy import HAPROXY, Proxy

FEW = 4
"""Connections of each attack."""

SETTLED_SECONDS = 2.0
"""Between a start and the next stop: the proxy finds the deployment ready."""

SLATE = {"user_id": 3, "k": 5}


@pytest.fixture(scope="module")
def binary():
    """The program; without one the tests are skipped."""
    found = HAPROXY.find()
    if found is None:
        pytest.skip("no haproxy on PATH, and none to unpack here (needs root, apt-get and its package sources)")
    return found


@pytest.fixture(scope="module")
def proxy(binary, deployment, tmp_path_factory):
    """The proxy in front of a deployment without keys, and of a second one that refuses connections."""
    log = tmp_path_factory.mktemp("proxy") / "proxy.log"
    with Proxy(binary, [(deployment.port, deployment.grpc_port)], log) as running:
        yield running


def call(channel, method, message=b"", seconds=5.0):
    """The status and the details of a call with these bytes as its message."""
    try:
        channel.unary_unary(method)(message, timeout=seconds)
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


def test_the_public_routes_pass_and_no_other(proxy):
    """Verbs without the scope admin reach the gateway at both doors; the proxy refuses all other paths."""
    with grpc.insecure_channel(proxy.grpc) as channel:
        for verb in VERBS:
            public = verb.scope is not Scope.ADMIN
            path = verb.path.format(user_id="u", item_id="i")
            answer = httpx.request(verb.method, proxy.url + path)
            assert ("There is nothing at this path." in answer.text) is not public, verb.path
            code, details = call(channel, f"/{SERVICE.full_name}/{verb.rpc}")
            assert (code is grpc.StatusCode.UNIMPLEMENTED and details == "This method is not public.") is not public
        reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        assert call(channel, reflection)[0] is grpc.StatusCode.UNIMPLEMENTED
        assert call(channel, "/grpc.health.v1.Health/Check")[0] is grpc.StatusCode.OK
    for path in ("/", "/docs", "/metrics", "/openapi.json", "/users/u/merge", "/users/u%2fmerge", "//recommend"):
        assert httpx.get(f"{proxy.url}{path}").status_code == 404, path
    for path in ("/livez", "/readyz", "/healthz"):
        assert httpx.get(f"{proxy.url}{path}").status_code == 200


def test_a_few_connections_of_each_attack_are_refused(proxy, deployment):
    """Slow, endless, oversized and compressed requests, resets and smuggled requests are closed or refused in 12 s."""

    async def attacked():
        ports = {
            **dict.fromkeys(http_attacks.ATTACKS, proxy.port),
            **dict.fromkeys(grpc_attacks.ATTACKS, proxy.grpc_port),
        }
        attacks = http_attacks.ATTACKS | grpc_attacks.ATTACKS
        tallies = [attack(ports[name], 1 if name == "smuggling" else FEW) for name, attack in attacks.items()]
        return dict(zip(attacks, await asyncio.gather(*tallies), strict=True))

    tallies = asyncio.run(attacked())
    assert {name: tally.wrong for name, tally in tallies.items() if tally.wrong} == {}
    assert {name: tally for name, tally in tallies.items() if tally.stopped < tally.connections} == {}
    assert b"smuggled" in received(deployment.port, SMUGGLED)  # the gateway names the path of a request it receives
    assert httpx.post(f"{proxy.url}/recommend", json=SLATE).status_code == 200


def received(port, data):
    """The bytes that a loopback port returns, until a second passes without a byte."""
    with socket.create_connection(("127.0.0.1", port), 1) as opened:
        opened.sendall(data)
        whole = b""
        with suppress(TimeoutError):
            while part := opened.recv(1 << 16):
                whole += part
    return whole


def test_one_address_has_a_limit_of_connections_and_of_requests(binary, deployment, tmp_path):
    """Connections above the limit are closed at once; above the rate: 429 and RESOURCE_EXHAUSTED."""
    limits = {"SOURCE_CONNECTIONS": "10", "SOURCE_RATE": "20"}
    with Proxy(binary, [(deployment.port, deployment.grpc_port)], tmp_path / "log", **limits) as proxy:
        idle = [socket.create_connection(("127.0.0.1", proxy.port), 5) for _ in range(10)]
        refused_within(10, f"{proxy.url}/livez")
        for each in idle:
            each.close()
        time.sleep(0.2)
        with httpx.Client(base_url=proxy.url) as client:
            answers = [client.get("/nothing") for _ in range(30)]
        with grpc.insecure_channel(proxy.grpc) as channel:
            calls = [failed(channel, f"/{SERVICE.full_name}/Status") for _ in range(30)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert refused[0].headers["retry-after"] == "1"
    assert refused[0].json()["error"]["code"] == "limited"
    limited = next(each for each in calls if each.code() is grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert ("grpc-retry-pushback-ms", "1000") in limited.trailing_metadata()


def refused_within(seconds, url):
    """HAProxy takes connections one after another: from the last of them on it closes further ones."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            httpx.get(url)
        except httpx.TransportError:
            return
        assert time.monotonic() < deadline, "no connection is refused"
        time.sleep(0.2)


def failed(channel, method):
    """The error of a call that is refused."""
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(method)(b"", timeout=5)
    return caught.value


def test_a_call_without_a_message_ends_with_deadline_exceeded(proxy):
    """The proxy ends the call after its own limit, before the deadline of the client."""

    def nothing():
        time.sleep(10)
        yield b""

    with grpc.insecure_channel(proxy.grpc) as channel:
        call = channel.stream_unary(f"/{SERVICE.full_name}/Recommend")
        with pytest.raises(grpc.RpcError) as caught:
            call(nothing(), timeout=30)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert caught.value.details() == "The message did not come within 8 s."


def test_the_proxy_speaks_tls_to_gateways_with_a_certificate(binary, published, embedded_url, tmp_path):
    """GATEWAY_CA: requests and health checks are encrypted; a gateway with a certificate of another CA gets none."""
    authority = Authority(tmp_path / "ca")
    cert, key = authority.issue("gateway")
    variables = {"TANDEM_TLS_CERT": str(cert), "TANDEM_TLS_KEY": str(key), "REDIS_URL": embedded_url}
    variables |= {"TANDEM_TOPOLOGY": "inline"}
    gateway = Deployment(tmp_path / "home", tmp_path / "service.log", **variables)
    gateway.start()
    try:
        end = time.monotonic() + READY_SECONDS
        while "ready after" not in gateway.log.read_text():
            assert gateway.process.poll() is None, gateway.log.read_text()
            assert time.monotonic() < end, gateway.log.read_text()
            time.sleep(0.2)
        ports = [(gateway.port, gateway.grpc_port)]
        with Proxy(binary, ports, tmp_path / "log", GATEWAY_CA=str(authority.ca)) as proxy:
            assert httpx.post(f"{proxy.url}/recommend", json=SLATE).json()["generation"] == published
            with grpc.insecure_channel(proxy.grpc) as channel:
                assert call(channel, "/grpc.health.v1.Health/Check")[0] is grpc.StatusCode.OK
        other = Authority(tmp_path / "other")
        with (
            pytest.raises(AssertionError, match="no ready gateway"),
            Proxy(binary, ports, tmp_path / "log", ready_seconds=5, GATEWAY_CA=str(other.ca)),
        ):
            pass
    finally:
        gateway.stop()


def test_tls_with_client_certificates_and_open_probes(binary, deployment, tmp_path):
    """A verb needs a certificate of the client CA, a probe does not; a reload uses a new server certificate."""
    authority, other = Authority(tmp_path / "ca"), Authority(tmp_path / "other")
    server, client = authority.issue("server"), authority.issue("client", server=False)
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(b"".join(path.read_bytes() for path in server))
    settings = {"TLS_CERT": str(bundle), "TLS_CLIENT_CA": str(authority.ca)}
    with Proxy(
        binary, [(deployment.port, deployment.grpc_port)], tmp_path / "log", ca=authority.ca, **settings
    ) as proxy:
        trust = ssl.create_default_context(cafile=str(authority.ca))
        assert httpx.get(f"{proxy.url}/readyz", verify=trust).status_code == 200
        refused = httpx.post(f"{proxy.url}/recommend", json=SLATE, verify=trust)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
        trust.load_cert_chain(*client)
        with httpx.Client(base_url=proxy.url, verify=trust) as kept:
            assert kept.post("/recommend", json=SLATE).status_code == 200
            foreign = ssl.create_default_context(cafile=str(authority.ca))
            foreign.load_cert_chain(*other.issue("client", server=False))
            with pytest.raises(httpx.TransportError):
                httpx.get(f"{proxy.url}/readyz", verify=foreign)
            assert health(proxy, authority, client) is grpc.StatusCode.OK
            assert health(proxy, authority) is grpc.StatusCode.UNAVAILABLE

            before = ssl.get_server_certificate(("127.0.0.1", proxy.port))
            bundle.write_bytes(b"".join(path.read_bytes() for path in authority.issue("server-2")))
            proxy.process.send_signal(signal.SIGUSR2)
            end = time.monotonic() + 10
            while ssl.get_server_certificate(("127.0.0.1", proxy.port)) == before:
                assert time.monotonic() < end, "the certificate is not reloaded"
                time.sleep(0.1)
            assert kept.post("/recommend", json=SLATE).status_code == 200


def health(proxy, authority, client=None):
    """The status of a health check over TLS, with a client's certificate or without."""
    cert, key = (path.read_bytes() for path in client) if client else (None, None)
    credentials = grpc.ssl_channel_credentials(authority.ca.read_bytes(), key, cert)
    with grpc.secure_channel(proxy.grpc, credentials, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        return call(channel, "/grpc.health.v1.Health/Check")[0]


@pytest.mark.slow
def test_rolling_stops_lose_no_request(binary, tmp_path):
    """Each of two deployments is stopped and started under requests at both doors; every request has an answer."""
    with ProxiedDeployments(tmp_path / "world", binary, TANDEM_DRAIN_SECONDS="3") as world:
        with world.clients(20.0) as answers:
            for deployment in world.deployments:
                time.sleep(SETTLED_SECONDS)
                assert deployment.stop() == 0
                deployment.start()
                deployment.wait_until_ready()
            time.sleep(SETTLED_SECONDS)
        for door, each in answers.items():
            assert Counter(answer.error for answer in each if answer.failed) == {}, door
            assert len(each) > 100
