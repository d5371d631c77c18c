"""A load test with a wrong option or without a deployment ends with a sentence."""

import subprocess
import sys

import pytest

from tests.servers.deployment import ROOT, free_port


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ([], "tandem: no connection to http://127.0.0.1:{port}"),
        (["--users", "-3"], "tandem: --users and --spawn-rate are above 0"),
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


PARSE = """
import sys
from locust.argument_parser import LocustArgumentParser
from loadtests.locustfile import add_options

for option in sys.argv[1:]:
    parser = LocustArgumentParser()
    add_options(parser)
    try:
        parser.parse_args([option])
        print(f"accepted: {option}")
    except SystemExit as ended:
        print(ended.code)
"""

WRONG = [
    *(f"--{name}={number}" for name in ("rate", "seconds", "warmup") for number in ("nan", "inf", "-1", "x")),
    *(f"--{name}={number}" for name in ("cold-share", "click-share") for number in ("nan", "inf", "-1", "1.1")),
    *("--seconds=0", "--pieces=nan:nan", "--pieces=5:inf", "--k=0", "--k=101", "--deadline-ms=-1", "--deadline-ms=nan"),
    *("--known-users=0", "--known-users=-1"),
    *("--user-file=nowhere", "--user-file=/dev/null"),
]
"""Options with wrong values."""


def test_a_wrong_option_ends_with_a_sentence():
    """Each wrong value gives one sentence and exit code 2."""
    run = subprocess.run(
        [sys.executable, "-c", PARSE, *WRONG], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout.splitlines() == ["2"] * len(WRONG)
    assert len(run.stderr.splitlines()) == len(WRONG)
    assert run.stderr.count("python -m locust: error: argument ") == len(WRONG)
