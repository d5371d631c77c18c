"""Processes that end with the process that started them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.servers.deployment import wait_until_gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")

TIED = "import recsys.process.parent_death as tie, time; tie.tie_to_parent(); print('up', flush=True); time.sleep(60)"
PARENT = """
import subprocess, sys
import recsys.process.parent_death
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""
WATCHING = """
import os, sys, time
from pathlib import Path
from recsys.process.parent_death import watch_ancestor
watch_ancestor(lambda: os._exit(Path("called").write_text("x") and 0))
Path("pid").write_text(str(os.getpid()))
time.sleep(30)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with a Makefile whose recipe runs our command in a shell."""
    (tmp_path / "watching.py").write_text(WATCHING)
    (tmp_path / "Makefile").write_text(
        f"demo:\n\t@true && {sys.executable} watching.py; true\n\nouter:\n\t@$(MAKE) demo\n"
    )
    yield tmp_path
    if (tmp_path / "pid").exists() and not gone(tmp_path, 0):
        with suppress(ProcessLookupError):  # it ended since
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def start(folder: Path, script: str) -> subprocess.Popen[bytes]:
    """Start a shell with a script, and wait until our command runs."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    shell = subprocess.Popen(["/bin/sh", "-c", f"{script}\ntrue"], cwd=folder, env=environment)
    deadline = time.monotonic() + 10
    while not ((folder / "pid").exists() and (folder / "pid").read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (folder / "pid").exists()
    time.sleep(0.1)
    return shell


def gone(folder: Path, seconds: float) -> bool:
    """Whether our command ends within the seconds."""
    return not wait_until_gone({int((folder / "pid").read_text())}, seconds)


def test_tied_process_ends_with_its_parent() -> None:
    """A process that tied itself ends when its parent is killed."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, TIED], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    assert not wait_until_gone({child}, 5)


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
@pytest.mark.parametrize("target", ["demo", "outer"])
def test_killed_shell_is_noticed(folder: Path, target: str) -> None:
    """The end of the shell above make is detected through the shell of a recipe and through nested makes."""
    shell = start(folder, f"make -s {target}")
    shell.kill()
    shell.wait()
    assert gone(folder, 5)
    assert (folder / "called").exists()


def test_killed_shell_is_noticed_without_make(folder: Path) -> None:
    """Without a make the parent of the parent is watched."""
    shell = start(folder, f"/bin/sh -c '{sys.executable} watching.py; true'")
    shell.kill()
    shell.wait()
    assert gone(folder, 5)


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
@pytest.mark.parametrize("script", ["make -s demo & wait", "nohup make -s demo > out 2>&1"])
def test_a_background_command_outlives_its_shell(folder: Path, script: str) -> None:
    """Behind & and nohup the end of the shell has no effect."""
    shell = start(folder, script)
    shell.kill()
    shell.wait()
    assert not gone(folder, 1.5)
    assert not (folder / "called").exists()
