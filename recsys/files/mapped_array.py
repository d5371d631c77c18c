"""Open the array of a .npy file by mapping it into memory, so that all processes of the host share one copy."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def mapped_array(folder: Path, name: str, rows: slice = slice(None)) -> np.ndarray:
    """The array of the file `name`.npy, or a range of its rows, which alone is mapped. A pickled array is refused.

    A range of an array that is stored by columns, or that has no columns, is a copy.
    """
    path = folder / f"{name}.npy"
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    start, stop, _ = rows.indices(len(array))
    if stop - start < len(array):
        if array.flags.c_contiguous and array.size:
            shape = stop - start, *array.shape[1:]
            array = np.memmap(path, array.dtype, "r", array.offset + start * array.strides[0], shape)
        else:
            array = array[start:stop].copy(order="K")
            array.flags.writeable = False
    # A plain array of the same pages: each slice and look-up of a memmap takes 5 us more.
    return np.asarray(array)
