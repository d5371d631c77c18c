"""Tests stops and starts of the service: a stop under load, a restart without Redis, and a start without any models."""

import os
import signal
import subprocess
import sys
import time

import httpx
import pytest

from recsys.errors import NOTHING_LIVE
from recsys.generation.publisher import Publisher
from recsys.store import RedisGenerationStore
from tests.chaos.faults.drain import Drains
from tests.judged_load.outcome import Limits, judge
from tests.servers.deployment import ROOT, Deployment
from tests.servers.store_server import StoreServer


def test_a_stop_loses_no_accepted_request(served):
    """HTTP and gRPC: not ready first, every accepted request is answered, every slate is logged, the end is in time.

    `make chaos` stops a deployment twenty times.
    """
    drains = Drains()
    drains.add(served, 2.0, 0.5, rate=10)
    for outcome in drains.outcomes(served):
        assert outcome.passed, outcome
        assert outcome.requests > 20


def test_a_restart_without_redis_serves_the_last_generation(served, pair):
    """Slates are degraded by the store alone, and whole soon after Redis is back."""
    served.deployment.stop()
    served.server.kill()
    served.deployment = served.deploy()
    served.deployment.start()
    served.deployment.wait_until_ready()
    with served.load() as load:
        assert "Serving a generation of this host" in served.deployment.log.read_text()
        status = served.status()
        assert status["generation"] == pair.first.manifest.id
        assert "No Redis answers" in status["store"]
        time.sleep(1)
        assert {name for answer in load.answers for name in answer.degraded} == {"store"}
        served.server.start()
        recovery = load.wait(lambda answer: answer.whole, 20)
    outcome = judge("restart without the store", load.answers, pair.expected, Limits(20), recovery=recovery)
    assert outcome.passed, outcome


def test_a_first_start_without_redis_ends_with_a_sentence(tmp_path):
    """There is nothing to serve; the sentence names the address."""
    ports = {"PORT": "39997", "GRPC_PORT": "0"}
    env = os.environ | ports | {"TANDEM_HOME": str(tmp_path), "REDIS_URL": "redis://127.0.0.1:1/0"}
    command = [sys.executable, "-m", "service", "serve"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_with_start_empty_a_deployment_waits_for_redis_and_a_generation(pair, tmp_path):
    """It is alive and not ready, first without a Redis, then without a generation. REDIS_URL_FILE names the Redis."""
    server = StoreServer(tmp_path / "redis")
    (tmp_path / "url").write_text(server.url)
    variables = {"REDIS_URL": "", "REDIS_URL_FILE": str(tmp_path / "url"), "TANDEM_START_EMPTY": "true"}
    deployment = Deployment(tmp_path / "home", tmp_path / "log", **variables)
    deployment.start()
    try:
        wait_for_refusal(deployment, "No Redis answers", "Redis does not answer.")
        server.start()
        wait_for_refusal(deployment, "No generation is live", NOTHING_LIVE)
        store = RedisGenerationStore(server.url)
        Publisher(store, tmp_path / "trials").publish(pair.first)
        store.promote(pair.first.manifest.id)
        store.close()
        deployment.wait_until_ready()
        answer = httpx.post(f"{deployment.url}/recommend", json={"user_id": 1, "k": 5}, timeout=10)
        assert len(answer.json()["items"]) == 5
    finally:
        code = deployment.stop()
        if server.running:
            server.stop()
    assert code == 0


def wait_for_refusal(deployment, words, reason):
    """Wait until a live deployment answers 503 with these words; /readyz and the log have the reason, no address."""
    end, found = time.monotonic() + 90, ""
    while time.monotonic() < end:
        assert deployment.process.poll() is None, deployment.log.read_text()
        try:
            answer = httpx.post(f"{deployment.url}/recommend", json={"user_id": 1}, timeout=5)
            found = answer.text
            if answer.status_code == 503 and words in found:
                assert httpx.get(f"{deployment.url}/livez", timeout=5).status_code == 200
                ready = httpx.get(f"{deployment.url}/readyz", timeout=5)
                assert (ready.status_code, ready.text) == (503, reason)
                assert f"Not ready: {reason}" in deployment.log.read_text()
                return
        except httpx.HTTPError as error:
            found = repr(error)
        time.sleep(0.2)
    raise AssertionError(f"{found}\n{deployment.log.read_text()}")


@pytest.mark.slow
def test_a_host_with_one_role_is_not_ready_while_it_drains(pair, own_valkey_url, tmp_path):
    """The host answers requests while it drains, and ends in time."""
    store = RedisGenerationStore(own_valkey_url)
    Publisher(store, tmp_path / "trials").publish(pair.first)
    store.promote(pair.first.manifest.id)
    store.close()
    command = [sys.executable, "-m", "service", "serve", "--role", "ranking"]
    alone = {"REDIS_URL": own_valkey_url, "TANDEM_DRAIN_SECONDS": "3"}
    with Deployment(tmp_path / "home", tmp_path / "log", command, **alone) as host:
        host.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + 2.5
        while (ready := httpx.get(f"{host.url}/readyz", timeout=5)).status_code == 200 and time.monotonic() < end:
            time.sleep(0.05)
        assert ready.status_code == 503
        assert httpx.get(f"{host.url}/readyz", timeout=5).status_code == 503
        assert httpx.get(f"{host.url}/livez", timeout=5).status_code == 200
        assert httpx.post(f"{host.url}/none", timeout=5).status_code == 404
        assert host.stop() == 0
