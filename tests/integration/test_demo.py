"""`make demo` on the bundled sample, as a newcomer runs it, and as one who loses patience."""

import os
import signal
import socket
import subprocess
import time

import httpx

from tests.servers.deployment import ROOT, descendants, free_port, wait_until_gone


def start(command, home, log, port):
    """A shell in a session of its own that runs make, as a terminal would."""
    env = {k: v for k, v in os.environ.items() if k != "REDIS_URL"}
    env |= {"TANDEM_HOME": str(home), "PORT": str(port), "GRPC_PORT": str(free_port()), "COLUMNS": "120"}
    env |= {"PREFECT_HOME": str(home.parent / "prefect")}  # not the database of the person who runs the tests
    with log.open("wb") as output:
        return subprocess.Popen(
            ["bash", "-c", command], cwd=ROOT, env=env, stdout=output, stderr=output, start_new_session=True
        )


def wait_for(text, log, process, seconds):
    end = time.monotonic() + seconds
    while text not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.2)


def test_the_demo_tells_its_story_serves_and_ends_with_ctrl_c(tmp_path):
    """Train, publish, serve, recommend, click, recommend; then it serves until Ctrl-C, and nothing is left running."""
    log, port = tmp_path / "log", free_port()
    process = start("make demo", tmp_path / "home", log, port)
    wait_for("Ctrl-C stops.", log, process, 480)
    told = log.read_text()
    for piece in ("two_stage", "Live: g", "recommend again: what changed", "an unknown user", "Toy Story 2", "curl"):
        assert piece in told
    assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
    below = descendants(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    process.wait(60)
    assert wait_until_gone(below) == set()
    assert "Traceback" not in log.read_text()


def test_the_demo_refuses_a_taken_port_before_it_trains(tmp_path):
    """One sentence and a code that is not 0, at once and not after two minutes."""
    log = tmp_path / "log"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert start("make demo", tmp_path / "home", log, port).wait(60) != 0
    said = log.read_text()
    assert f"127.0.0.1:{port} can't be bound" in said
    assert "Traceback" not in said
    assert "train on" not in said
