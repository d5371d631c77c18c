"""Starts and ends of a deployment: no process is left behind, and a failed start has one sentence."""

import os
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from recsys.store.embedded_valkey import EmbeddedValkey
from recsys.store.redis.generation_store import RedisGenerationStore
from tests.fakes.issued_keys import IssuedKeys
from tests.sample_data import tiny
from tests.servers.deployment import (
    ROOT,
    SERVICES,
    Deployment,
    command,
    descendants,
    free_port,
    wait_for,
    wait_until_gone,
    workers,
)

PROCESSES = 5
"""Below the supervisor: the store, BentoML's process manager and three workers."""


@pytest.fixture
def home(tiny_world, tmp_path):
    """A home whose own embedded store holds a live generation."""
    store = EmbeddedValkey(tmp_path / "home" / "store")
    tiny.publish(tiny_world[0], RedisGenerationStore(store.ensure()))
    store.stop()
    return tmp_path / "home"


@pytest.mark.slow
def test_a_worker_that_hangs_ends_with_the_deployment(home, tmp_path):
    """It handles no SIGTERM. After 28 s it is killed."""
    with Deployment(home, tmp_path / "log") as running:
        below = descendants(running.process.pid)
        [worker] = [pid for pid in below if b"\0Ranking\0" in command(pid)]
        os.kill(worker, signal.SIGSTOP)
        assert running.stop() == 0
        assert wait_until_gone(below) == set()


@pytest.mark.parametrize("victim", ["supervisor", "process manager"])
def test_a_killed_parent_leaves_no_process(home, tmp_path, victim):
    """SIGKILL of the supervisor or of the process manager ends all other processes, also while workers load."""
    running = Deployment(home, tmp_path / "log")
    running.start()
    wait_for(lambda: len(descendants(running.process.pid)) >= PROCESSES, 120, 0.02)
    below = descendants(running.process.pid)
    if victim == "supervisor":
        running.process.kill()
    else:
        # The first: a worker that is being started has its parent's command line for a moment.
        os.kill(min(pid for pid in below if b"bentoml\0serve" in command(pid)), signal.SIGKILL)
    code = running.process.wait(40)
    assert code == (-9 if victim == "supervisor" else 1)
    assert wait_until_gone(below, 60) == set()  # a worker ends when its imports are done: 20 s on a busy machine


def test_a_gateway_that_waits_for_a_stage_ends_on_sigterm(home, tmp_path):
    """Retrieval hangs, so the gateway waits for its first generation, 15 s long. No part of its stop fails."""
    keys = IssuedKeys(tmp_path / "keys.toml")
    keys.add("operator", "admin")
    own = {"TANDEM_KEYS": str(keys.path), "TANDEM_ADMIN_PORT": str(free_port())}
    running, hung = Deployment(home, tmp_path / "log", **own), set()
    running.start()
    try:
        wait_for(lambda: workers(running, "Retrieval"), 120, 0.02)
        hung = workers(running, "Retrieval")
        for pid in hung:
            os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: "Running startup hook: follow_live" in running.log.read_text(), 120)
        [gateway] = workers(running, "Gateway")
        os.kill(gateway, signal.SIGTERM)
        assert wait_until_gone({gateway}, 10) == set()
        assert "Traceback" not in running.log.read_text()
    finally:
        running.process.kill()
        running.process.wait()
        for pid in hung:
            os.kill(pid, signal.SIGKILL)  # a stopped process handles no SIGTERM


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP])
def test_an_embedded_store_that_dies_or_hangs_is_restarted(home, tmp_path, sent):
    """One that hangs after the time that a start may take. Answers go on, and users have their histories again."""
    with Deployment(home, tmp_path / "log") as running:
        [store] = [pid for pid in descendants(running.process.pid) if b"valkey" in command(pid)]
        os.kill(store, sent)

        def complete():
            sent = httpx.post(f"{running.url}/recommend", json={"user_id": 4}, timeout=10, verify=False)
            answer = sent.raise_for_status().json()
            return not answer["degraded"] and answer["history"] and store not in descendants(running.process.pid)

        wait_for(complete, 90, 0.5)
        assert sent == signal.SIGKILL or "Serving goes on" in running.log.read_text()


def test_a_killed_worker_is_restarted_and_a_stop_ends_every_process(home, tmp_path):
    """The only worker of each service: answers are complete again, and the death is counted and logged.

    SIGTERM then ends services, workers and the embedded store, with the exit code 0.
    """
    with Deployment(home, tmp_path / "log") as running:
        for service in SERVICES:
            [victim] = workers(running, service)
            os.kill(victim, signal.SIGKILL)
            wait_for(lambda: is_complete(running), 120)
            [successor] = workers(running, service)
            assert successor != victim
            for count in (
                f'tandem_worker_deaths_total{{service="{service}"}} 1.0',
                f'tandem_workers{{service="{service}",state="alive"}} 1.0',
            ):
                wait_for(lambda count=count: count in httpx.get(f"{running.url}/metrics", verify=False).text)
            assert f"{service} {socket.gethostname()} {victim} ended without a stop" in running.log.read_text()
        assert running.log.read_text().count("is in force.") == 2  # by either gateway
        below = descendants(running.process.pid)
        assert len(below) >= PROCESSES
        assert running.stop() == 0
    assert wait_until_gone(below) == set()


def is_complete(running):
    """Whether an answer without a missing stage is returned."""
    try:
        answer = httpx.post(f"{running.url}/recommend", json={"user_id": 4}, timeout=2, verify=False)
    except httpx.HTTPError:  # no gateway runs
        return False
    return answer.status_code == 200 and not answer.json()["degraded"]


def serve(*arguments, **variables):
    """Run a command that has to fail; its exit code and stderr, whose sentence is on stdout not again."""
    env = {k: v for k, v in os.environ.items() if k not in {"REDIS_URL", "PORT"}}
    env |= {"GRPC_PORT": "0"} | variables  # another program may have 3001
    command = [sys.executable, "-m", "service", *arguments]
    result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert result.stderr.removeprefix("tandem: ") not in result.stdout
    return result.returncode, result.stderr


def is_one_sentence(text):
    return text.startswith("tandem: ") and text.count("\n") == 1 and "Traceback" not in text


@pytest.mark.parametrize("variable", ["PORT", "GRPC_PORT"])
def test_a_taken_port_is_named(tmp_path, variable):
    """With the variable of another port. Also if the other program shares the port, as gateway workers do."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = {"PORT": str(free_port()), variable: str(taken.getsockname()[1])}
        code, stderr = serve("serve", TANDEM_HOME=str(tmp_path), **ports)
    assert code == 1
    assert is_one_sentence(stderr)
    assert ports[variable] in stderr
    assert f" {variable}=" in stderr
