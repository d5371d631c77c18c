"""Starts and ends of a deployment: no process is left behind, and a failed start has one sentence."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from recsys.environment import Environment
from recsys.store.embedded_valkey import EmbeddedValkey
from recsys.store.redis.generation_store import RedisGenerationStore
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
from tests.service.putting import comedy, poll, put, recommend

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
    assert wait_until_gone(below) == set()


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP])
def test_an_embedded_store_that_dies_or_hangs_is_restarted(home, tmp_path, sent):
    """One that hangs after the time that a start may take. Answers go on, and users have their histories again."""
    with Deployment(home, tmp_path / "log") as running:
        [store] = [pid for pid in descendants(running.process.pid) if b"valkey" in command(pid)]
        os.kill(store, sent)

        def complete():
            answer = httpx.post(f"{running.url}/recommend", json={"user_id": 4}, timeout=10).raise_for_status().json()
            return not answer["degraded"] and answer["history"] and store not in descendants(running.process.pid)

        wait_for(complete, 90, 0.5)
        assert sent == signal.SIGKILL or "Serving goes on" in running.log.read_text()


def test_a_killed_worker_is_restarted(home, tmp_path):
    """The only worker of each service: answers are complete again, and the death is counted and logged."""
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
                wait_for(lambda count=count: count in httpx.get(f"{running.url}/metrics").text)
            assert f"{service} {socket.gethostname()} {victim} ended without a stop" in running.log.read_text()
        assert running.log.read_text().count("is in force.") == 2  # by either gateway
        below = descendants(running.process.pid)
    assert wait_until_gone(below) == set()


def is_complete(running):
    """Whether an answer without a missing stage is returned."""
    try:
        answer = httpx.post(f"{running.url}/recommend", json={"user_id": 4}, timeout=2)
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


def test_a_home_that_can_not_be_written_is_named(tmp_path):
    """A file in place of the folder stops root too, who ignores permissions."""
    (tmp_path / "home").write_text("in the way")
    code, stderr = serve("serve", TANDEM_HOME=str(tmp_path / "home"), PORT="39999")
    assert code == 1
    assert is_one_sentence(stderr)
    assert "TANDEM_HOME" in stderr


@pytest.mark.parametrize(
    ("command", "variable", "name", "sentence"),
    [
        ("serve", "TANDEM_RULES", "rules.toml", "cap.0.column is 3"),
        ("check", "TANDEM_RULES", "rulez.toml", "There is no file"),
        ("check", "TANDEM_SURFACES", "surfaces.toml", "surfaces.toml: home.rules names"),
    ],
)
def test_a_wrong_file_of_rules_or_surfaces_is_named(tmp_path, command, variable, name, sentence):
    """With its field, or with the path of a missing file, before anything starts."""
    (tmp_path / "rules.toml").write_text("[[cap]]\ncolumn = 3\n")
    (tmp_path / "surfaces.toml").write_text('[home]\nrules = "nowhere.toml"\n')
    named = {variable: str(tmp_path / name)}
    code, stderr = serve(command, TANDEM_HOME=str(tmp_path / "home"), PORT=str(free_port()), **named)
    assert code == 1
    assert is_one_sentence(stderr)
    assert sentence in stderr


def test_a_redis_out_of_reach_is_named(tmp_path):
    """With its address, without its password."""
    code, stderr = serve("serve", TANDEM_HOME=str(tmp_path), PORT="39999", REDIS_URL="redis://:secret@127.0.0.1:1/0")
    assert code == 1
    assert is_one_sentence(stderr)
    assert "127.0.0.1:1" in stderr
    assert "secret" not in stderr


def test_a_mistyped_command_is_named():
    """In one sentence."""
    code, stderr = serve("sevre")
    assert code == 2
    assert is_one_sentence(stderr)
    assert "'sevre'" in stderr


def test_an_empty_store_stops_the_start_with_the_command_to_train(tmp_path):
    """In one sentence."""
    code, stderr = serve("serve", TANDEM_HOME=str(tmp_path), PORT="39999")
    assert code == 1
    assert is_one_sentence(stderr)
    assert "python -m flows run" in stderr


@pytest.mark.parametrize(("value", "path"), [("", "rules.toml"), ("/etc/tandem/shop.toml", "/etc/tandem/shop.toml")])
def test_the_service_and_the_flows_read_one_file_of_rules(monkeypatch, value, path):
    """TANDEM_RULES names the file. An empty variable is not set."""
    monkeypatch.setenv("TANDEM_RULES", value)
    config = subprocess.run(
        [sys.executable, "-m", "service", "config"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    (line,) = [line for line in config.stdout.splitlines() if line.startswith("TANDEM_RULES ")]
    assert line.split()[1] == path
    assert Environment.read().rules == Path(path)


def test_inline_topology_gives_the_same_answers(deployment, embedded_url, published, tmp_path):
    """Retrieval and ranking run in the gateway. The slates are the same, and a put item is recommended."""
    with Deployment(tmp_path / "home", tmp_path / "log", REDIS_URL=embedded_url, TANDEM_TOPOLOGY="inline") as inline:
        for user in range(0, 30, 3):
            body = {"user_id": user, "k": 20}
            one, other = (
                httpx.post(f"{served.url}/recommend", json=body, timeout=10).json() for served in (inline, deployment)
            )
            assert one | {"freshness": None} == other | {"freshness": None}  # ages: the second answer is a moment later
        assert httpx.get(f"{inline.url}/status").json()["topology"] == "inline"
        with httpx.Client(base_url=inline.url, timeout=10) as client:
            put(client, comedy("put inline"))
            poll("put inline", lambda: "put inline" in recommend(client)[0], 1)
            client.delete("/items/put inline").raise_for_status()
