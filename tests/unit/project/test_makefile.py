"""Targets of the Makefile whose wrong use would cost something."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_run_needs_the_name_of_a_dataset():
    """`make run` without DATA ends with code 2 and one sentence, before anything is installed or trained."""
    environment = {name: value for name, value in os.environ.items() if name not in {"DATA", "MAKEFLAGS", "MAKELEVEL"}}
    done = subprocess.run(["make", "run"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Say which data: make run DATA=FOLDER; the sample is DATA=data/movietweetings." in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
