"""Processes that end with the process that started them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.servers.deployment import wait_until_gone

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
@pytest.mark.parametrize("call", ["tie_to_parent()", "watch_parent(os.getppid(), lambda: os._exit(1))"])
def test_a_process_ends_with_its_parent(call: str) -> None:
    """A process that tied itself to its parent, or watches it, ends when the parent is killed."""
    child = (
        f"import os, time; from recsys.process.parent_death import *; {call}; print('up', flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", PARENT, child], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    assert not wait_until_gone({pid}, 5)
