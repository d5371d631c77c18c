"""Read single rows of the array of a .npy file without mapping the file into memory."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from recsys.types import I32


class RowReader:
    """The array [n, ...] of the file `name`.npy, which stays open. A pickled array is refused."""

    def __init__(self, folder: Path, name: str) -> None:
        path = folder / f"{name}.npy"
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        self.shape, self.dtype, self._offset = array.shape, array.dtype, array.offset
        self._bytes = array.dtype.itemsize * int(np.prod(array.shape[1:], dtype=np.int64))
        self._file = path.open("rb", buffering=0)

    def take(self, rows: I32) -> np.ndarray:
        """The rows at [m] places: [m, ...]."""
        descriptor, size, start = self._file.fileno(), self._bytes, self._offset
        read = b"".join([os.pread(descriptor, size, start + size * row) for row in rows.tolist()])
        return np.frombuffer(read, self.dtype).reshape(len(rows), *self.shape[1:])
