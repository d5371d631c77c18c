"""`make demo` as a newcomer runs it, on a part of the bundled sample: the whole sample takes two minutes."""

import os
import shutil
import signal
import socket
import subprocess
import time

import httpx
import pandas as pd
import pytest

from tests.servers.deployment import ROOT, descendants, free_port, wait_until_gone

RATINGS = 25_000


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A folder with links to the checkout, and the newest ratings of the sample in place of the sample."""
    folder, sample = tmp_path_factory.mktemp("checkout"), "data/movietweetings"
    for path in ROOT.iterdir():
        if path.name not in {"data", ".git", ".tandem"}:
            (folder / path.name).symlink_to(path)
    shutil.copytree(ROOT / sample, folder / sample)
    ratings = pd.read_csv(ROOT / sample / "interactions.csv.gz", dtype=str).tail(RATINGS)
    ratings.to_csv(folder / sample / "interactions.csv.gz", index=False)
    return folder


def make_demo(checkout, home, log, port):
    """`make demo` in a session of its own, as in a terminal."""
    env = {k: v for k, v in os.environ.items() if k != "REDIS_URL"}
    env |= {"TANDEM_HOME": str(home), "PORT": str(port), "GRPC_PORT": str(free_port()), "COLUMNS": "120"}
    env |= {"PREFECT_HOME": str(home.parent / "prefect")}  # not the database of the person who runs the tests
    command = ["make", "-o", ".venv/installed", "demo"]  # -o: the environment is there
    with log.open("wb") as output:
        return subprocess.Popen(command, cwd=checkout, env=env, stdout=output, stderr=output, start_new_session=True)


def test_the_demo_tells_its_story_serves_and_ends_with_ctrl_c(checkout, tmp_path):
    """Train, publish, serve, recommend, click, recommend; Ctrl-C ends it, and no process is left."""
    log, port = tmp_path / "log", free_port()
    process = make_demo(checkout, tmp_path / "home", log, port)
    end = time.monotonic() + 480
    while "Ctrl-C stops." not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.2)
    story = log.read_text()
    for piece in ("two_stage", "Live: g", "recommend again: what changed", "an unknown user with a session", "curl"):
        assert piece in story
    assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
    below = descendants(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    process.wait(60)
    assert wait_until_gone(below) == set()
    assert "Traceback" not in log.read_text()


def test_the_demo_refuses_a_port_in_use_before_it_trains(checkout, tmp_path):
    """One sentence, and an exit code other than 0."""
    log = tmp_path / "log"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert make_demo(checkout, tmp_path / "home", log, port).wait(60) != 0
    output = log.read_text()
    assert f"127.0.0.1:{port} can't be bound" in output
    assert "Traceback" not in output
    assert "train on" not in output
