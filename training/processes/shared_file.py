"""Share a large object with other processes as a file: each process maps the object's arrays into its memory.

The processes of one host hold the arrays once.
"""

from __future__ import annotations

import fcntl
import mmap
import pickle
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

ALIGNED = 64
"""Bytes: the arrays begin at multiples, as in memory."""

TAIL = 8
"""Bytes of the last number, the place of the pickle."""


@contextmanager
def shared_file(value: object, folder: Path) -> Iterator[Path]:
    """Write an object to a file of a folder, for `read_shared`. The file is removed at the end of the block.

    A process locks its file. Files without a lock are of killed processes, and are removed first.
    """
    for abandoned in folder.glob("*.shared"):
        with suppress(OSError), abandoned.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            abandoned.unlink()
    with _locked_file(folder) as (path, file):
        try:
            _write(value, file)
            yield path
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def _locked_file(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A new file with a lock. Another process may remove the file before the lock is held: then a new file is made."""
    while True:
        path = folder / f"{uuid4().hex}.shared"
        with path.open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if path.exists():
                yield path, file
                return


def _write(value: object, file: BinaryIO) -> None:
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    places = []
    for buffer in buffers:
        view = buffer.raw()
        places.append((file.tell(), view.nbytes))
        file.write(view)
        file.write(bytes(-view.nbytes % ALIGNED))
    at = file.tell()
    pickle.dump((pickled, places), file)
    file.write(at.to_bytes(TAIL))
    file.flush()


@lru_cache(maxsize=1)
def read_shared(path: Path) -> Any:
    """The object of a file. A process reads it once."""
    with path.open("rb") as file:
        # Private pages that can be written: kernels are compiled for arrays of this kind.
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    pickled, places = pickle.loads(view[int.from_bytes(view[-TAIL:]) : -TAIL])
    return pickle.loads(pickled, buffers=[view[start : start + size] for start, size in places])
