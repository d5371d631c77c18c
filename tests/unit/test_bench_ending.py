"""How a command of loadtests ends, and where it does not begin."""

import subprocess
import sys

import httpx
import psutil
import pytest

from loadtests.ending import sentences
from loadtests.extras import extra
from loadtests.peers.servers import PeerError
from tests.deployment import ROOT, free_port


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


ASKED = """
import sys
from locust.argument_parser import LocustArgumentParser
from loadtests.locustfile import add_options

for option in sys.argv[1:]:
    parser = LocustArgumentParser()
    add_options(parser)
    try:
        parser.parse_args([option])
        print(f"taken: {option}")
    except SystemExit as ended:
        print(ended.code)
"""

NONE = [
    *(f"--{name}={number}" for name in ("rate", "seconds", "warmup") for number in ("nan", "inf", "-1", "x")),
    *(f"--{name}={number}" for name in ("cold-share", "click-share") for number in ("nan", "inf", "-1", "1.1")),
    *("--seconds=0", "--pieces=nan:nan", "--pieces=5:inf", "--k=0", "--k=101", "--deadline-ms=-1", "--deadline-ms=nan"),
    *("--known-users=0", "--known-users=-1", "--pid=-1", "--pid=2147483647", "--pid=99999999999"),
    *(
        "--user-pattern={",
        "--user-pattern=user-{x}",
        "--user-pattern=user",
        "--user-file=nowhere",
        "--user-file=/dev/null",
    ),
]
"""Options of a load that are none."""


def test_an_option_of_a_load_that_is_none_is_a_sentence():
    """And no traceback, again and again, of a load that never ends."""
    run = subprocess.run(
        [sys.executable, "-c", ASKED, *NONE], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout.splitlines() == ["2"] * len(NONE)
    assert len(run.stderr.splitlines()) == len(NONE)
    assert run.stderr.count("python -m locust: error: argument ") == len(NONE)
