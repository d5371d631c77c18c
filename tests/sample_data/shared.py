"""Makes sample data once in a run of the tests: each of pytest's worker processes copies what the first one made."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

VARIABLE = "FOLDER_OF_SHARED_TEST_DATA"
"""The environment variable with the folder, which tests/conftest.py makes and removes."""


def shared(name: str, folder: Path, make: Callable[[Path], object]) -> None:
    """Fill `folder` with what `make` writes into a folder; without VARIABLE nothing is shared."""
    if VARIABLE not in os.environ:
        make(folder)
        return
    made = Path(os.environ[VARIABLE]) / name
    with made.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            unfinished = made.with_suffix(".unfinished")
            make(unfinished)
            unfinished.rename(made)
    shutil.copytree(made, folder, dirs_exist_ok=True)
