"""Open the array of a .npy file by mapping it into memory, so that all processes of the host share one copy."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def mapped_array(folder: Path, name: str) -> np.ndarray:
    """The array of the file `name`.npy. A pickled array is refused."""
    # A plain array of the same pages: each slice and look-up of a memmap takes 5 us more.
    return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))
