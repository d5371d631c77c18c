"""A load test with a wrong option or without a deployment ends with a sentence."""

import subprocess
import sys

import pytest

from tests.servers.deployment import free_port


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ([], "tandem: no connection to http://127.0.0.1:{port}"),
        (["--users", "-3"], "tandem: --users and --spawn-rate are above 0"),
        (["--body", "{}", "--surface", "home"], "tandem: --body has all of the request"),
        (["--result", "/dev/null/load.json"], "tandem: --result: '/dev/null/load.json' is not a file"),
    ],
)
def test_a_load_without_a_deployment_ends_with_a_sentence(more, sentence):
    """No deployment listens at the address, or an option has a wrong value that the parser accepts."""
    port = free_port()
    command = [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless", "--users", "1"]
    run = subprocess.run(
        [*command, "--host", f"http://127.0.0.1:{port}", *more],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode in (1, 2)
    assert sentence.format(port=port) in run.stderr
    assert "Traceback" not in run.stderr
