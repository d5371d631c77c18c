"""Tests starts of the service without Redis or without models, and the end of a host with one role."""

import signal
import sys
import time

import httpx
import pytest

from recsys.errors import NOTHING_LIVE
from recsys.generation.publisher import Publisher
from recsys.store import RedisGenerationStore
from tests.servers.deployment import Deployment
from tests.servers.store_server import StoreServer


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
