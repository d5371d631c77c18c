"""Compile the numba kernels (fast numeric code) in a second process while the first training starts, to save time."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recsys.process import parent_death

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def compiling_kernels() -> Iterator[None]:
    """Run `training.warm_kernels` during the block if the cache of kernels is empty. It ends with the block.

    Kernels that are not compiled by then are compiled at their first call.
    """
    cache = Path(os.environ.get("NUMBA_CACHE_DIR") or ROOT / "recsys" / "kernels" / "__pycache__").absolute()
    if len(os.sched_getaffinity(0)) == 1 or next(cache.rglob("*.nbi"), None):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="tandem-kernels-", ignore_cleanup_errors=True) as folder:
        child = subprocess.Popen(
            [sys.executable, "-m", "training.warm_kernels"],
            env=os.environ | {"TMPDIR": folder},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches this process only
            preexec_fn=parent_death.preexec(),
        )
        try:
            yield
        finally:
            child.kill()
            child.wait()
