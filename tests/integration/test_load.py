"""The load test as a program: its exit code says whether slo.toml held."""

import os
import subprocess
import sys

from tests.deployment import ROOT, free_port


def locust(url):
    command = [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless", "--only-summary"]
    command += ["--host", url, "--users", "4", "--spawn-rate", "100", "--requests", "200", "--run-time", "30s"]
    return subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=120, check=False)


def test_a_good_deployment_passes_the_gate(deployment):
    """Content is checked, clicks are sent, every line of the table held."""
    result = locust(deployment.url)
    assert "error share" in result.stdout
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_deployment_that_is_not_there_fails_the_gate():
    """The gate can say no."""
    result = locust(f"http://127.0.0.1:{free_port()}")
    assert result.returncode == 1
    assert "BROKEN" in result.stdout
