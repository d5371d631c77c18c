"""Redis is away when the deployment starts: it serves what this host has, says so, and finds back by itself."""

import os
import subprocess
import sys
import time

from tests.chaos.faults import is_whole
from tests.chaos.outcome import judge
from tests.chaos.served import Served
from tests.servers.deployment import ROOT


def test_a_restart_without_redis_serves_what_was_served_last(pair, tmp_path):
    """Slates of the same generation as for strangers, the store's fault told; whole again when it is back."""
    with Served(tmp_path, pair) as world:
        world.deployment.stop()
        world.server.kill()
        world.deployment = world.deploy()
        with world.deployment as running, world.load() as load:
            assert "Serving a generation of this host" in running.log.read_text()
            status = world.status()
            assert status["generation"] == pair.first.manifest.id
            assert "No Redis answers" in status["store"]
            time.sleep(1)
            assert {name for answer in load.answers for name in answer.degraded} == {"store"}
            world.server.start()
            recovery = load.wait(is_whole, 20)
        outcome = judge("restart without the store", load.answers, pair.expected, recovery, within=2)
        assert outcome.passed, outcome
        world.deployment.start()


def test_an_empty_home_and_no_redis_is_a_sentence(tmp_path):
    """There is nothing to serve, and it says what to do."""
    ports = {"PORT": "39997", "GRPC_PORT": "0"}
    env = os.environ | ports | {"TANDEM_HOME": str(tmp_path), "REDIS_URL": "redis://127.0.0.1:1/0"}
    command = [sys.executable, "-m", "service", "serve"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
