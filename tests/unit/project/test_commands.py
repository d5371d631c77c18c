"""What commands import, and how they end without the packages, without DATA, interrupted, or with a closed stdout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


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


@pytest.mark.parametrize(
    ("module", "absent"),
    [("service.gateway, service.serve", ("torch",)), ("loadtests.locustfile", ("torch", "redis", "matplotlib"))],
)
def test_a_process_imports_no_library_that_it_does_not_use(module, absent):
    """A gateway that calls its stages, the parent of the workers, and the load generator: a start is mostly imports."""
    code = f"import sys, {module}; print(sorted({set(absent)} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_make_run_needs_the_name_of_a_dataset():
    """Without DATA it ends with code 2 and one sentence, before anything is installed or trained."""
    environment = {name: value for name, value in os.environ.items() if name not in {"DATA", "MAKEFLAGS", "MAKELEVEL"}}
    done = subprocess.run(["make", "run"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "Say which data: make run DATA=FOLDER; the sample is DATA=data/movietweetings." in done.stderr
