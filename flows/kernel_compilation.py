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

ROOT = Path(__file__).resolve().parents[1]
CACHE_VARIABLE = "NUMBA_CACHE_DIR"


@contextmanager
def compiling_kernels() -> Iterator[None]:
    """Run `training.warm_kernels` during the block if the cache of kernels is empty. It ends with the block.

    Kernels that are not compiled by then are compiled at their first call.
    """
    if not compilation_needed():
        yield
        return
    cache = {CACHE_VARIABLE: str(_cache())} if os.environ.get(CACHE_VARIABLE) else {}
    with tempfile.TemporaryDirectory(prefix="tandem-kernels-", ignore_cleanup_errors=True) as folder:
        child = subprocess.Popen(
            [sys.executable, "-m", "training.warm_kernels"],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": folder} | cache,
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


def compilation_needed() -> bool:
    """Whether a second core is there, and numba's cache is empty and writable."""
    if len(os.sched_getaffinity(0)) == 1 or os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        return False
    cache = _cache()
    if cache.exists() and next(cache.rglob("*.nbi"), None):
        return False
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    return os.access(existing, os.W_OK)


def _cache() -> Path:
    return Path(os.environ.get(CACHE_VARIABLE) or ROOT / "recsys" / "kernels" / "__pycache__").absolute()
