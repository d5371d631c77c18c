"""A rehearsal (`training.warm_kernels`) beside a first run, so that kernels lie compiled by then. Imports little."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recsys.process import parent_death

CODE = Path(__file__).resolve().parent.parent
CACHE = "NUMBA_CACHE_DIR"
KERNELS = CODE / "recsys" / "kernels" / "__pycache__"


@contextmanager
def rehearsing() -> Iterator[None]:
    """Meanwhile a process of our own rehearses, where that is of use; it and what it wrote go with us.

    What it has not done by then, or can't do, is compiled where it is needed.
    """
    if not needed():
        yield
        return
    with tempfile.TemporaryDirectory(prefix="tandem-rehearsal-", ignore_cleanup_errors=True) as folder:
        child = subprocess.Popen(
            [sys.executable, "-m", "training.warm_kernels"],
            cwd=CODE,
            env=os.environ | {"TMPDIR": folder} | ({CACHE: str(_cache())} if os.environ.get(CACHE) else {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us
            preexec_fn=parent_death.preexec(),
        )
        try:
            yield
        finally:
            child.kill()
            child.wait()


def needed() -> bool:
    """Whether a core is idle and nothing lies compiled where numba keeps it, which may be written."""
    if len(os.sched_getaffinity(0)) == 1 or os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        return False
    cache = _cache()
    if cache.exists() and next(cache.rglob("*.nbi"), None):
        return False
    there = next(each for each in (cache, *cache.parents) if each.exists())
    return os.access(there, os.W_OK)


def _cache() -> Path:
    return Path(os.environ.get(CACHE) or KERNELS).absolute()
