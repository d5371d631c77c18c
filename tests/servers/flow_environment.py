"""Environment variables for a `python -m flows` command in a test: its own home, no other settings, Prefect's database.

Prefect makes its database in 7 s of CPU, and two dozen tests start with an empty home. One database is made for all
tests, kept in `.tandem/tests` and copied. The test of the demo has Prefect make its own.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".tandem" / "tests"

MAKE = """
import asyncio
from prefect.server.database import provide_database_interface
asyncio.run(provide_database_interface().create_db())
"""


def flow_environment(home: Path, **variables: str) -> dict[str, str]:
    """The environment of a command with its state in `home`, and these variables."""
    if not (home / "prefect").exists():
        shutil.copytree(_database(), home / "prefect")
    return _stripped() | {"TANDEM_HOME": str(home), "PREFECT_HOME": str(home / "prefect")} | variables


def _stripped() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "REDIS_", "TANDEM_"))}


def _database() -> Path:
    """A folder with an empty database of the installed Prefect; the first process makes it."""
    KEPT.mkdir(parents=True, exist_ok=True)
    made = KEPT / f"prefect-{version('prefect')}"
    with (KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            making = KEPT / "making"
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            environment = _stripped() | {"PREFECT_HOME": str(making), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
            subprocess.run([sys.executable, "-c", MAKE], env=environment, check=True, capture_output=True, timeout=180)
            making.rename(made)
    return made
