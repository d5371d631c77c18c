"""Just-in-time (JIT) compilation of kernels (loops over arrays) by Numba: a decorator, and a conversion of arrays.

Numba would compile a kernel once more for read-only or strided arrays; `contiguous` converts these.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit


def compiled(function: Callable[..., Any] | None = None, **options: Any) -> Callable[..., Any]:
    """Compile a function that releases the GIL; options: of `numba.njit`.

    If neither the folder of the code nor NUMBA_CACHE_DIR nor the home can be written, each process compiles for itself.
    """
    if function is None:
        return partial(compiled, **options)
    try:
        return njit(cache=True, nogil=True, **options)(_stamped(function))  # type: ignore[no-any-return]
    except RuntimeError:
        return njit(nogil=True, **options)(function)  # type: ignore[no-any-return]


def _stamped(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with a digest of all kernels and their constants in its name, which names its files in the cache.

    The compiled code of a kernel contains the kernels that it calls. Numba compares only the kernel's own file.
    """
    function.__qualname__ += f"@{_digest()}"
    return function


@cache
def _digest() -> str:
    folder = Path(__file__).parent
    files = [folder.parent / "types.py", *sorted(folder.glob("*.py"))]
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def contiguous(array: np.ndarray) -> np.ndarray:
    """The array, or a copy of it, that is C-contiguous, aligned and writable.

    For a view or a read-only array Numba would compile the kernel once more, for seconds, during a request.
    """
    # `np.require` takes eight times as long to find that the array is right.
    return array if array.flags.carray else np.array(array, order="C")
