"""A command in a Python without Tandem's packages says which Python to take."""

import subprocess
import sys
from pathlib import Path

import pytest

from recsys.installed import packages

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("command", ["flows status", "service config", "training evaluate --data x"])
def test_a_python_without_the_packages_is_told_so(command):
    """One sentence that names the cure, exit code 2 and no traceback."""
    done = subprocess.run(
        [sys.executable, "-S", "-m", *command.split()], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "source .venv/bin/activate" in done.stderr
    assert "make .venv/installed" in done.stderr


def test_ctrl_c_while_it_imports_is_no_fault():
    """The exit code that shells know, and no traceback."""
    with pytest.raises(SystemExit) as ended, packages():
        raise KeyboardInterrupt
    assert ended.value.code == 130


def test_a_module_of_our_own_that_is_missing_is_a_fault():
    """It is not installed by anybody: the traceback stays."""
    with pytest.raises(ModuleNotFoundError, match="nowhere"), packages():
        import recsys.nowhere  # noqa: F401
