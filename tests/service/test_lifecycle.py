"""Start, end and kill: nothing of ours is ever left behind, and what can't start says why in one sentence."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from recsys.environment import Environment
from recsys.store.embedded_valkey import EmbeddedValkey
from recsys.store.redis.generation_store import RedisGenerationStore
from tests.chaos.workers import SERVICES, workers
from tests.sample_data import tiny
from tests.servers.deployment import ROOT, Deployment, command, descendants, free_port, wait_until_gone

PROCESSES = 5
"""Below the supervisor: the store, BentoML's process manager and three workers."""


@pytest.fixture
def home(tiny_world, tmp_path):
    """A home whose own embedded store holds a live generation."""
    store = EmbeddedValkey(tmp_path / "home" / "store")
    tiny.publish(tiny_world[0], RedisGenerationStore(store.ensure()))
    store.stop()
    return tmp_path / "home"


def test_sigterm_ends_every_process_and_the_exit_code_is_0(home, tmp_path):
    """Services, workers and the embedded store."""
    running = Deployment(home, tmp_path / "log")
    running.start()
    running.wait_until_ready()
    below = descendants(running.process.pid)
    assert len(below) >= PROCESSES
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(40) == 0
    assert wait_until_gone(below) == set()


@pytest.mark.slow
def test_a_worker_that_hangs_ends_with_the_deployment(home, tmp_path):
    """It handles no SIGTERM; after 28 s it is killed."""
    with Deployment(home, tmp_path / "log") as running:
        below = descendants(running.process.pid)
        [worker] = [pid for pid in below if b"\0Ranking\0" in command(pid)]
        os.kill(worker, signal.SIGSTOP)
        assert running.stop() == 0
        assert wait_until_gone(below) == set()


@pytest.mark.parametrize("victim", ["supervisor", "process manager"])
def test_killed_it_leaves_no_process(home, tmp_path, victim):
    """kill -9 of a process that holds the others together ends the others, also while workers load."""
    running = Deployment(home, tmp_path / "log")
    running.start()
    end = time.monotonic() + 30
    while len(descendants(running.process.pid)) < PROCESSES and time.monotonic() < end:
        time.sleep(0.02)
    below = descendants(running.process.pid)
    assert len(below) >= PROCESSES
    if victim == "supervisor":
        running.process.kill()
    else:
        # The first: a worker that is being started has its parent's command line for a moment.
        os.kill(min(pid for pid in below if b"bentoml\0serve" in command(pid)), signal.SIGKILL)
    code = running.process.wait(40)
    assert code == (-9 if victim == "supervisor" else 1)
    assert wait_until_gone(below) == set()


@pytest.mark.slow
def test_the_store_comes_back_under_a_running_deployment(home, tmp_path):
    """kill -9 of the embedded store: answers go on, and users are known again within seconds."""
    with Deployment(home, tmp_path / "log") as running:
        [store] = [pid for pid in descendants(running.process.pid) if b"valkey" in command(pid)]
        os.kill(store, signal.SIGKILL)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            answer = httpx.post(f"{running.url}/recommend", json={"user_id": 4}, timeout=10)
            assert answer.status_code == 200
            if not answer.json()["degraded"] and answer.json()["history"]:
                break
            time.sleep(0.2)
        assert answer.json()["degraded"] == []
        assert answer.json()["history"] > 0


@pytest.mark.slow
def test_a_store_that_hangs_for_long_does_not_end_the_service(home, tmp_path):
    """Past the time that a start may take it is ended and started again; answers go on all the while."""
    with Deployment(home, tmp_path / "log") as running:
        [store] = [pid for pid in descendants(running.process.pid) if b"valkey" in command(pid)]
        os.kill(store, signal.SIGSTOP)
        end, whole = time.monotonic() + 90, False
        while time.monotonic() < end and not whole:
            answer = httpx.post(f"{running.url}/recommend", json={"user_id": 4}, timeout=10)
            assert answer.status_code == 200
            whole = answer.json()["degraded"] == [] and answer.json()["history"] > 0
            whole = whole and store not in descendants(running.process.pid)
            time.sleep(0.5)
        assert whole, running.log.read_text()
        assert "Serving goes on" in running.log.read_text()


def test_a_killed_worker_comes_back(home, tmp_path):
    """kill -9 of the only worker of each service: answers are whole again, and the death is counted and logged."""
    with Deployment(home, tmp_path / "log") as running:
        for service in SERVICES:
            [victim] = workers(running, service)
            os.kill(victim, signal.SIGKILL)
            assert _whole_again(running), running.log.read_text()
            [successor] = workers(running, service)
            assert successor != victim
            count = f'tandem_worker_deaths_total{{service="{service}"}} 1.0'
            assert _comes(lambda count=count: count in httpx.get(f"{running.url}/metrics").text)
            assert f"{service} {socket.gethostname()} {victim} ended without a stop" in running.log.read_text()
        assert running.log.read_text().count("is in force.") == 2  # by either gateway
        below = descendants(running.process.pid)
    assert wait_until_gone(below) == set()


def _comes(condition, seconds=20):
    """Whether a condition holds within so long."""
    end = time.monotonic() + seconds
    while not (held := condition()) and time.monotonic() < end:
        time.sleep(0.2)
    return held


def _whole_again(running, seconds=60):
    """Whether an answer that lacks nothing comes in so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            answer = httpx.post(f"{running.url}/recommend", json={"user_id": 4}, timeout=2)
            if answer.status_code == 200 and not answer.json()["degraded"]:
                return True
        except httpx.HTTPError:  # without its gateway there is nobody to answer
            pass
        time.sleep(0.1)
    return False


def serve(*arguments, **variables):
    """Run the command that should refuse; its exit code and what it said."""
    env = {k: v for k, v in os.environ.items() if k not in {"REDIS_URL", "PORT"}}
    env |= {"GRPC_PORT": "0"} | variables  # 3001 may be somebody else's here
    command = [sys.executable, "-m", "service", *arguments]
    result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    return result.returncode, result.stderr


def is_one_sentence(text):
    return text.startswith("tandem: ") and text.count("\n") == 1 and "Traceback" not in text


@pytest.mark.parametrize("variable", ["PORT", "GRPC_PORT"])
def test_a_taken_port_is_named(tmp_path, variable):
    """And how to choose another; also where its holder would share it, as gateway workers do with each other."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = {"PORT": str(free_port()), variable: str(taken.getsockname()[1])}
        code, said = serve("serve", TANDEM_HOME=str(tmp_path), **ports)
    assert code == 1
    assert is_one_sentence(said)
    assert ports[variable] in said
    assert f" {variable}=" in said


def test_a_home_that_can_not_be_written_is_named(tmp_path):
    """A file in the way stops root too, whom permissions don't."""
    (tmp_path / "home").write_text("in the way")
    code, said = serve("serve", TANDEM_HOME=str(tmp_path / "home"), PORT="39999")
    assert code == 1
    assert is_one_sentence(said)
    assert "TANDEM_HOME" in said


@pytest.mark.parametrize(
    ("command", "name", "told"),
    [("serve", "rules.toml", "cap.0.column is 3"), ("check", "rulez.toml", "There is no file")],
)
def test_a_wrong_file_of_rules_is_named(tmp_path, command, name, told):
    """With its field, or its path where it is not there, before anything starts: workers only tell it in the log."""
    (tmp_path / "rules.toml").write_text("[[cap]]\ncolumn = 3\n")
    rules = str(tmp_path / name)
    code, said = serve(command, TANDEM_HOME=str(tmp_path / "home"), TANDEM_RULES=rules, PORT=str(free_port()))
    assert code == 1
    assert is_one_sentence(said)
    assert told in said


def test_a_redis_out_of_reach_is_named(tmp_path):
    """With its address and what to do."""
    code, said = serve("serve", TANDEM_HOME=str(tmp_path), PORT="39999", REDIS_URL="redis://:secret@127.0.0.1:1/0")
    assert code == 1
    assert is_one_sentence(said)
    assert "127.0.0.1:1" in said
    assert "secret" not in said


def test_nothing_live_says_how_to_train(tmp_path):
    """An empty store is no crash."""
    code, said = serve("serve", TANDEM_HOME=str(tmp_path), PORT="39999")
    assert code == 1
    assert is_one_sentence(said)
    assert "python -m flows run" in said


@pytest.mark.parametrize(("value", "told"), [("", "rules.toml"), ("/etc/tandem/shop.toml", "/etc/tandem/shop.toml")])
def test_the_file_of_rules_is_that_of_the_flows(monkeypatch, value, told):
    """TANDEM_RULES names one file for both; an empty one is none named."""
    monkeypatch.setenv("TANDEM_RULES", value)
    config = subprocess.run(
        [sys.executable, "-m", "service", "config"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    (line,) = [line for line in config.stdout.splitlines() if line.startswith("TANDEM_RULES ")]
    assert line.split()[1] == told
    assert Environment.read().rules == Path(told)


def test_inline_topology_gives_the_same_answers(deployment, embedded_url, published, tmp_path):
    """Retrieval and ranking inside the gateway: one process less each, the same slates."""
    with Deployment(tmp_path / "home", tmp_path / "log", REDIS_URL=embedded_url, TANDEM_TOPOLOGY="inline") as inline:
        for user in range(0, 30, 3):
            body = {"user_id": user, "k": 20}
            one = httpx.post(f"{inline.url}/recommend", json=body, timeout=10).json()
            other = httpx.post(f"{deployment.url}/recommend", json=body, timeout=10).json()
            assert one == other
        assert httpx.get(f"{inline.url}/status").json()["topology"] == "inline"
