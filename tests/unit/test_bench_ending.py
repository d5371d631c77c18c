"""How a command of loadtests ends, and where it does not begin."""

import subprocess
import sys

import httpx
import psutil
import pytest

from loadtests.ending import sentences
from loadtests.extras import extra
from loadtests.peers.servers import PeerError
from tests.deployment import free_port


@pytest.mark.parametrize("error", [PeerError("gone"), httpx.ConnectError("gone"), psutil.NoSuchProcess(1, msg="gone")])
def test_a_peer_that_dies_is_a_sentence(error):
    """Whoever noticed it: the loader, the reader of its metrics, or who looks at its processes."""
    with pytest.raises(SystemExit, match=r"^tandem: .*gone"), sentences():
        raise error


def test_what_is_not_installed_is_a_sentence():
    """With the command that installs it; what is gets through."""
    with pytest.raises(SystemExit, match=r"^tandem: no_such_package is not installed; `make"):
        extra("no_such_package")
    assert extra("sys") is sys


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ([], "tandem: nobody answers at http://127.0.0.1:{port}"),
        (["--host", "http://127.0.0.1:99999"], "tandem: nobody answers at http://127.0.0.1:99999"),
        (["--seconds", "-3"], "python -m locust: error: argument --seconds: '-3' is not a number from 0.1"),
        (["--rate", "abc"], "argument --rate: 'abc' is not a number from 0"),
    ],
)
def test_a_load_on_nobody_says_so_and_sends_nothing(more, told):
    """Nobody listens, or what is asked for is no load."""
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
    assert told.format(port=port) in run.stderr
    assert "Traceback" not in run.stderr
