"""The soak test as a program, short: a planted leak turns it red."""

import json
import os
import subprocess
import sys

import pytest

from tests.deployment import ROOT


def soak(folder, **leak):
    command = [sys.executable, "-m", "loadtests.soak", "--requests", "3000", "--swaps", "2", "--rate", "150"]
    command += ["--items", "1000", "--folder", str(folder), "--result", str(folder / "soak.json")]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests" / "leak"), **leak}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180, check=False)


def told(folder):
    return json.loads((folder / "soak.json").read_text())


@pytest.mark.slow
def test_a_planted_leak_turns_it_red(tmp_path):
    """Exit code 1, and the table names what grew and that alone: what does not leak holds in the same run."""
    result = soak(tmp_path, TANDEM_LEAK_KIB="128", TANDEM_LEAK_DESCRIPTORS="1")
    assert result.returncode == 1, result.stdout + result.stderr
    broken = [each for each in result.stdout.splitlines() if each.endswith("BROKEN")]
    assert [each.split("  ")[0] for each in broken] == ["memory MiB", "descriptors"], result.stdout
    requests = told(tmp_path)["requests"]
    assert f"It did not hold over {requests:,} requests and 2 swaps" in (tmp_path / "soak.html").read_text()
