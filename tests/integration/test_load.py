"""The load test as a program: its exit code says whether slo.toml held."""

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from loadtests.slo import Slo
from loadtests.tally import ANSWERED, Tally
from tests.deployment import ROOT, Deployment

LATE = 3
"""Exit code where the generator itself was late and nothing was measured."""


def locust(url, result, *options):
    command = [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless", "--only-summary"]
    command += ["--host", url, "--users", "1", "--rate", "20", "--seconds", "6", "--warmup", "2", *options]
    command += ["--result", str(result), "--stop-timeout", "10"]
    return subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("door", ["http", "grpc"])
def test_a_good_deployment_passes_the_gate(deployment, tmp_path, door):
    """Content is checked, clicks are sent, every line of the table held, and the figures are kept."""
    url = deployment.url if door == "http" else f"127.0.0.1:{deployment.grpc_port}"
    for _ in range(3):
        result = locust(url, tmp_path / "load.json", "--door", door, "--shape", "spike")
        if result.returncode != LATE:  # it says so itself: other work on the cores kept it from sending in time
            break
    assert "error share" in result.stdout
    assert result.returncode == 0, result.stdout + result.stderr
    told = json.loads((tmp_path / "load.json").read_text())
    assert told["held"]
    assert f"The report: {tmp_path / 'load.html'}" in result.stdout
    assert "slo.toml held" in (tmp_path / "load.html").read_text()
    assert (tmp_path / "load.png").exists()
    assert Tally.from_json(told).count(*ANSWERED) == told["requests"] > 60


@pytest.fixture
def braked(published, embedded_url, tmp_path):
    """A deployment as any other, and the folder of brakes that nobody has pulled yet (tests/chaos/brakes)."""
    brakes = tmp_path / "brakes"
    brakes.mkdir()
    more = {"PYTHONPATH": f"{ROOT / 'tests' / 'chaos' / 'brakes'}", "TANDEM_BRAKES": str(brakes)}
    with Deployment(tmp_path, tmp_path / "service.log", REDIS_URL=embedded_url, **more) as running:
        yield running, brakes


@pytest.mark.slow
def test_an_injected_sleep_turns_the_gate_red(braked, tmp_path):
    """The negative control: the same deployment passes, is refused by the lines it breaks, and passes again."""
    deployment, brakes = braked
    passed = locust(deployment.url, tmp_path / "before.json")
    assert passed.returncode == 0, passed.stdout + passed.stderr
    (brakes / "ranking").write_text(str(1.2 * Slo.read().p99_ms / 1000))
    slowed = locust(deployment.url, tmp_path / "slowed.json")
    assert slowed.returncode == 1, slowed.stdout + slowed.stderr
    assert re.search(r"^p99 ms .* BROKEN$", slowed.stdout, re.MULTILINE), slowed.stdout
    assert re.search(r"^error share .* held$", slowed.stdout, re.MULTILINE), slowed.stdout
    assert "p99 ms was" in (tmp_path / "slowed.html").read_text()
    (brakes / "ranking").unlink()
    healed = locust(deployment.url, tmp_path / "after.json")
    assert healed.returncode == 0, healed.stdout + healed.stderr


class Refuses(BaseHTTPRequestHandler):
    """Answers, and with nothing."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_error(503)

    def log_message(self, *_):
        pass


def test_a_deployment_that_answers_nothing_fails_the_gate(tmp_path):
    """The gate can say no."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        result = locust(f"http://127.0.0.1:{server.server_port}", tmp_path / "load.json")
        server.shutdown()
    assert result.returncode == 1
    assert "BROKEN" in result.stdout
    assert "slo.toml did not hold" in (tmp_path / "load.html").read_text()
