"""How a kernel is compiled: on its first call, once for each kind of arrays, and kept on disk where that can be."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit


def compiled(
    function: Callable[..., Any] | None = None, *, makes_arrays: bool = False, **options: Any
) -> Callable[..., Any]:
    """A kernel that lets other threads run; options: of `numba.njit`.

    makes_arrays: whether it does, or is given some by a kernel that does, as a ballot. Numba refuses one that makes an
    array itself and does not say so; one that has it from another would leak it, and none that does not say so may
    return one. What Python gives a kernel outlives the call, so nobody has to count who holds it: in a loop that takes
    a row, or calls another kernel, that is two locked instructions each time, and what is read behind them waits for
    what is read before.
    Where neither the code's folder nor a home may be written there is no cache: each process compiles for itself.
    """
    if function is None:
        return partial(compiled, makes_arrays=makes_arrays, **options)
    options |= {"nogil": True, "_nrt": makes_arrays}
    try:
        return njit(cache=True, **options)(_stamped(function))  # type: ignore[no-any-return]
    except RuntimeError:
        return njit(**options)(function)  # type: ignore[no-any-return]


def _stamped(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with a digest of all kernels' sources in its name, which names its files in Numba's cache.

    A kernel that this kernel calls is compiled into this kernel. Numba compares this kernel's own file alone.
    """
    function.__qualname__ += f"@{_sources()}"
    return function


@cache
def _sources() -> str:
    """A digest of all kernels' sources."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def plain(array: np.ndarray) -> np.ndarray:
    """The array in a row, aligned and writable, copied if need be, as every kernel gets what a request brings.

    A view, or bytes that came over a hop, are another kind of array, for which a kernel is compiled once more: that
    takes seconds, and it would be requests that wait for it.
    """
    # Asked here: `np.require` takes eight times as long to see that it has nothing to do.
    return array if array.flags.carray else np.array(array, order="C")
