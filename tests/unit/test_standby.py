"""A standby becomes what it is told to, and ends where nobody is left to tell it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.standby import ROOM

WAIT = "from service import standby; standby.LOADED = (); standby.main()"

TELLS = """
import json, os, sys
from pathlib import Path
assert __name__ == "__main__"
command = Path("/proc/self/cmdline").read_bytes().rstrip(b"\\0").split(b"\\0") if sys.platform == "linux" else []
told = [sys.argv[1:], os.environ.get("ROLE"), os.environ.get("OLD"), sys.stdin.read(), [c.decode() for c in command]]
print(json.dumps(told))
"""


@pytest.fixture
def standby(tmp_path):
    """A standby that had nothing to import, where a module `tells` can be run."""
    (tmp_path / "tells.py").write_text(TELLS)
    path = os.pathsep.join((str(Path.cwd()), str(tmp_path)))
    return subprocess.Popen(
        [sys.executable, "-c", WAIT, ROOM],
        env=os.environ | {"PYTHONPATH": path, "OLD": "yes"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_it_runs_the_command_it_stands_in_for(standby):
    """Its arguments, its environment and no other, nothing on its input, and the command line that `ps` shows."""
    command = [sys.executable, "-m", "tells", "--service-name", "Ranking", "--fd", "7"]
    said, _ = standby.communicate(json.dumps({"command": command, "variables": {"ROLE": "ranking"}}) + "\n", 30)
    arguments, role, old, read, shown = json.loads(said)
    assert (arguments, role, old, read) == (command[3:], "ranking", None, "")
    assert shown == (command if sys.platform == "linux" else [])


def test_it_ends_with_its_arbiter(standby):
    """When nothing can come any more."""
    said, _ = standby.communicate("", 30)
    assert (said, standby.returncode) == ("", 0)
