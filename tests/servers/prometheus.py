"""Runs Debian's Prometheus and promtool for tests (`apt-get install prometheus`), which skip where they are absent."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def program(name: str) -> str:
    """The path of `prometheus` or `promtool`; without the program the test is skipped."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} on PATH: apt-get install prometheus")
    return found


def promtool(*arguments: str | Path) -> str:
    """The output of a promtool command; AssertionError with the output if the command fails."""
    done = subprocess.run([program("promtool"), *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
