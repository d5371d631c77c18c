"""Write a file atomically: a reader finds the complete old file or the complete new file, never a part of one."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path, *, mode: int = 0o666, durable: bool = False) -> Iterator[Path]:
    """Yield an empty file beside `path`. It replaces `path` when the block ends, and is removed if the block fails.

    mode: the permissions of the new file, less the umask. durable: flush the file to the disk first, so that a power
    cut leaves the old content or the new content. OSError if the folder can't be written.
    """
    draft = path.with_name(f".{threading.get_native_id()}-{path.name}")  # this thread is the only one with this number
    draft.unlink(missing_ok=True)  # of a killed process whose number is used again
    try:
        draft.touch(mode=mode, exist_ok=False)
        yield draft
        if durable:
            with draft.open("rb") as file:
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
