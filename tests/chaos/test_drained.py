"""SIGTERM under load; `make chaos` sends it twenty times."""

import signal
import sys
import time

import httpx
import pytest

from recsys.generation.publisher import Publisher
from recsys.store import RedisGenerationStore
from tests.chaos import drained
from tests.chaos.served import Served
from tests.servers.deployment import Deployment


def test_a_stop_loses_nothing_that_was_accepted(pair, tmp_path):
    """Both doors: answered, or told that nobody is there; not ready first, every slate logged, and it ends in time."""
    drains = drained.Drains()
    patient = {"TANDEM_DEADLINE_MS": "5000"}  # whatever else runs on this machine
    with Served(tmp_path, pair, TANDEM_DRAIN_SECONDS="0.5", **drained.LOGGED, **patient) as world:
        drained.drain(world, drains, 2.0, 0.5, rate=10)
    for outcome in drained.judged(world, drains):
        assert outcome.passed, outcome
        assert outcome.requests > 20


@pytest.mark.parametrize("role", ["retrieval", "ranking"])
def test_a_host_with_one_role_is_not_ready_while_it_drains(role, pair, own_valkey_url, tmp_path):
    """It lives and answers rows meanwhile, and ends in time."""
    store = RedisGenerationStore(own_valkey_url)
    Publisher(store, tmp_path / "trials").publish(pair.first)
    store.promote(pair.first.manifest.id)
    store.close()
    command = [sys.executable, "-m", "service", "serve", "--role", role]
    alone = {"REDIS_URL": own_valkey_url, "TANDEM_DRAIN_SECONDS": "3"}
    with Deployment(tmp_path / "home", tmp_path / "log", command, **alone) as host:
        host.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + 2.5
        while (ready := httpx.get(f"{host.url}/readyz", timeout=5)).status_code == 200 and time.monotonic() < end:
            time.sleep(0.05)
        assert ready.status_code == 503
        ready = httpx.get(f"{host.url}/readyz", timeout=5)  # the first may have been asked just before the end began
        assert ready.status_code == 503
        assert httpx.get(f"{host.url}/livez", timeout=5).status_code == 200
        assert httpx.post(f"{host.url}/none", timeout=5).status_code == 404  # whoever asks is still answered
        assert host.stop() == 0
