"""Give the Parquet files of the flows that make lists their names when they are complete, and remove old files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recsys.environment import Environment
from training.read.locations import Location, exports, require_writable, writing

ABANDONED_SECONDS = 86_400.0
"""An unfinished file without a write for this time belongs to a killed run."""

LISTS, SIMILAR = "lists", "similar"
"""The folders of users' lists and of similar items, for `training.read.locations.exports`."""

KEPT = 7
"""Newest files that stay in a folder: a week of nightly files. In a bucket a lifecycle rule removes old files, so that
flows need no permission to delete."""


@contextmanager
def export_file(environment: Environment, name: str, generation: str, now: float) -> Iterator[tuple[Location, Path]]:
    """The path of a new file in the folder of this name, and a local file to write.

    The local file is moved to the path when the block ends without an error.
    """
    folder = exports(environment, name)
    if folder.remote:
        require_writable(folder)  # an error here, not after an hour of list making
    else:
        _remove_abandoned(Path(folder.path))
    path = folder / generation / f"{int(now)}.parquet"
    with writing(path) as scratch:
        yield path, scratch
    if not folder.remote:
        _drop_old(Path(folder.path))


def _drop_old(folder: Path) -> None:
    """Remove all but the newest files, and empty folders. Another run may do the same."""
    files = [path for path in folder.glob("*/[0-9]*.parquet") if path.stem.isdecimal()]
    for old in sorted(files, key=lambda path: int(path.stem))[:-KEPT]:
        old.unlink(missing_ok=True)
        with suppress(OSError):  # it has other files
            old.parent.rmdir()


def _remove_abandoned(folder: Path) -> None:
    """Remove unfinished files of killed runs. Newer unfinished files may belong to a run in progress."""
    for left in folder.glob("*/.*.parquet"):
        with suppress(FileNotFoundError):  # its run finished it just now
            if time.time() - left.stat().st_mtime > ABANDONED_SECONDS:
                left.unlink()
