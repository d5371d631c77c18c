"""The load test as a program: its exit code says whether slo.toml held."""

import json
import os
import subprocess
import sys

import pytest

from loadtests.tally import ANSWERED, Tally
from tests.deployment import ROOT, free_port


def locust(url, result, *options):
    command = [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless", "--only-summary"]
    command += ["--host", url, "--users", "1", "--rate", "20", "--seconds", "6", "--warmup", "2", *options]
    command += ["--result", str(result), "--stop-timeout", "10"]
    return subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("door", ["http", "grpc"])
def test_a_good_deployment_passes_the_gate(deployment, tmp_path, door):
    """Content is checked, clicks are sent, every line of the table held, and the figures are kept."""
    url = deployment.url if door == "http" else f"127.0.0.1:{deployment.grpc_port}"
    result = locust(url, tmp_path / "load.json", "--door", door, "--shape", "spike")
    assert "error share" in result.stdout
    assert result.returncode == 0, result.stdout + result.stderr
    told = json.loads((tmp_path / "load.json").read_text())
    assert told["held"]
    assert f"The report: {tmp_path / 'load.html'}" in result.stdout
    assert "slo.toml held" in (tmp_path / "load.html").read_text()
    assert (tmp_path / "load.png").exists()
    assert Tally.from_json(told).count(*ANSWERED) == told["requests"] > 60


def test_a_deployment_that_is_not_there_fails_the_gate(tmp_path):
    """The gate can say no."""
    result = locust(f"http://127.0.0.1:{free_port()}", tmp_path / "load.json")
    assert result.returncode == 1
    assert "BROKEN" in result.stdout
    assert "slo.toml did not hold" in (tmp_path / "load.html").read_text()
