"""Redis is away when the deployment starts: it serves what this host has, says so, and finds back by itself."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from flows.model_store import ModelStore
from recsys.environment import Environment
from recsys.generation import is_user_part
from tests.chaos.faults import is_whole
from tests.chaos.outcome import judge
from tests.chaos.served import Served
from tests.deployment import ROOT, Deployment

BENTOML = Path(sys.executable).with_name("bentoml")


def test_a_restart_without_redis_serves_what_was_served_last(pair, tmp_path):
    """Slates of the same generation as for strangers, the store's fault told; whole again when it is back."""
    with Served(tmp_path, pair) as world:
        world.deployment.stop()
        world.server.kill()
        world.deployment = world.deploy()
        with world.deployment as running, world.load() as load:
            assert "Serving what lies on this host" in running.log.read_text()
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


@pytest.fixture
def pinned_bento(pair, tmp_path):
    """A bento built from a copy of the checkout that pins the first generation, and its BENTOML_HOME."""
    checkout, home = tmp_path / "checkout", tmp_path / "home"
    for name in ("service", "recsys"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("bentofile.yaml", "slo.toml"):
        shutil.copy(ROOT / name, checkout / name)
    tag = ModelStore(Environment(home, None)).save(pair.first)
    (checkout / "pinned.json").write_text(json.dumps({"model": tag}))
    env = os.environ | {"BENTOML_HOME": str(home / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}
    done = subprocess.run([BENTOML, "build"], cwd=checkout, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [bento] = [path for path in (home / "bentoml" / "bentos" / "tandem").iterdir() if path.is_dir()]
    return bento, home / "bentoml", tag


@pytest.mark.slow
def test_a_bento_serves_the_generation_it_pins_without_redis(pinned_bento, pair, tmp_path):
    """An empty state folder, no store: the pinned generation answers, and it holds nothing of any user."""
    bento, home, tag = pinned_bento
    assert tag in (bento / "bento.yaml").read_text()
    model = home / "models" / "tandem" / pair.first.manifest.id
    assert not any(is_user_part(path.name) for path in model.iterdir())
    command = [str(BENTOML), "serve", str(bento), "--host", "127.0.0.1", "--port", "{port}"]
    variables = {"REDIS_URL": "redis://127.0.0.1:1/0", "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    with Deployment(tmp_path / "state", tmp_path / "log", command, tmp_path, **variables) as running:
        answer = httpx.post(f"{running.url}/recommend", json={"user_id": 4, "k": 10}, timeout=10).json()
        assert answer["generation"] == pair.first.manifest.id
        assert answer["degraded"] == ["store"]
        assert pair.expected[pair.first.manifest.id].agrees(answer, time.time())
        assert httpx.get(f"{running.url}/status").json()["live"] is None
