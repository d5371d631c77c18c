"""Memory of a process that loads and drops generations."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

ALLOCATIONS = 7_000
"""New objects after which the garbage collector runs. With Python's 700 it takes a twentieth of the gateway's time."""


def freeze_imports() -> None:
    """Exclude all present objects from garbage collection. Call it before a generation is loaded."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS, 10, 10)


def release() -> None:
    """Free dropped generations, which may refer to themselves, and return what a load used to the system."""
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library has no malloc_trim
        ctypes.CDLL(None).malloc_trim(0)
