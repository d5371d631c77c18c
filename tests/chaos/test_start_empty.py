"""A deployment that an orchestrator starts before there is anything to serve, or a Redis to have it from."""

import time

import httpx
import pytest

from recsys.errors import NOTHING_LIVE
from recsys.store import RedisGenerationStore
from tests.sample_data import tiny
from tests.servers.deployment import Deployment
from tests.servers.store_server import StoreServer

pytestmark = pytest.mark.slow


def test_it_waits_says_what_for_and_serves_as_soon_as_it_can(tmp_path):
    """Alive and not ready, first for want of a Redis, then of a generation; its URL stands in a file."""
    server = StoreServer(tmp_path / "redis")
    (tmp_path / "url").write_text(server.url)
    named = {"REDIS_URL": "", "REDIS_URL_FILE": str(tmp_path / "url"), "TANDEM_START_EMPTY": "true"}
    deployment = Deployment(tmp_path / "home", tmp_path / "log", **named)
    deployment.start()
    try:
        says(deployment, "No Redis answers", "Redis does not answer.")
        server.start()
        says(deployment, "No generation is live", NOTHING_LIVE)
        store = RedisGenerationStore(server.url)
        tiny.publish(tiny.generation(tmp_path / "world")[0], store)
        store.close()
        deployment.wait_until_ready()
        answer = httpx.post(f"{deployment.url}/recommend", json={"user_id": 1, "k": 5}, timeout=10)
        assert len(answer.json()["items"]) == 5
    finally:
        code = deployment.stop()
        if server.running:
            server.stop()
    assert code == 0


def says(deployment, words, reason):
    """Wait until it refuses with these words, being alive; /readyz and the log give the reason, without an address."""
    end, said = time.monotonic() + 90, ""
    while time.monotonic() < end:
        assert deployment.process.poll() is None, deployment.log.read_text()
        try:
            answer = httpx.post(f"{deployment.url}/recommend", json={"user_id": 1}, timeout=5)
            said = answer.text
            if answer.status_code == 503 and words in said:
                assert httpx.get(f"{deployment.url}/livez", timeout=5).status_code == 200
                ready = httpx.get(f"{deployment.url}/readyz", timeout=5)
                assert (ready.status_code, ready.text) == (503, reason)
                assert f"Not ready: {reason}" in deployment.log.read_text()
                return
        except httpx.HTTPError as error:
            said = repr(error)
        time.sleep(0.2)
    raise AssertionError(f"{said}\n{deployment.log.read_text()}")
