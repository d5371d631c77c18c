"""The soak test as a program, short: a planted leak turns it red."""

import json
import os
import subprocess
import sys

import pytest

from tests.deployment import ROOT


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the generations stand that both runs serve."""
    return tmp_path_factory.mktemp("soak")


def soak(folder, **leak):
    command = [sys.executable, "-m", "loadtests.soak", "--requests", "3000", "--swaps", "2", "--rate", "150"]
    command += ["--items", "1000", "--folder", str(folder), "--result", str(folder / "soak.json")]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests" / "leak"), **leak}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180, check=False)


def told(folder):
    return json.loads((folder / "soak.json").read_text())


@pytest.mark.parametrize(
    ("leak", "line"), [({"TANDEM_LEAK_KIB": "128"}, "memory MiB"), ({"TANDEM_LEAK_DESCRIPTORS": "1"}, "descriptors")]
)
def test_a_planted_leak_turns_it_red(folder, leak, line):
    """Exit code 1, and the table names what grew and that alone: what does not leak holds in the same run."""
    result = soak(folder, **leak)
    assert result.returncode == 1, result.stdout + result.stderr
    broken = [each for each in result.stdout.splitlines() if each.endswith("BROKEN")]
    assert [each.startswith(line) for each in broken] == [True], result.stdout
    requests = told(folder)["requests"]
    assert f"It did not hold over {requests:,} requests and 2 swaps" in (folder / "soak.html").read_text()
