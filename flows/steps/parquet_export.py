"""Write the Parquet files of the flows that make lists: rows in groups, the name when complete, old files."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.environment import Environment
from training.data.locations import Location, exports, require_writable, writing

ROWS = 50_000
"""Rows of a row group."""

ABANDONED_SECONDS = 86_400.0
"""An unfinished file without a write for this time belongs to a killed run."""

LISTS = "lists"
"""The folder of users' lists, for `training.data.locations.exports`."""

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


class RowFile:
    """A Parquet file that is written in groups of ROWS rows; a context that writes the last rows."""

    def __init__(self, path: Location, scratch: Path, schema: pa.Schema) -> None:
        """path: where the file will be. scratch: the local file to write."""
        self.path = path
        self._scratch, self._schema = scratch, schema
        self._rows: list[tuple[object, ...]] = []
        self._writer: pq.ParquetWriter | None = None

    def begin(self) -> None:
        """Start the file again without the rows that were added before."""
        self._close()
        self._rows = []
        self._writer = pq.ParquetWriter(self._scratch, self._schema)

    def add_rows(self, rows: Iterable[tuple[object, ...]]) -> None:
        """Add rows, in the order of the schema's columns."""
        self._rows.extend(rows)
        if len(self._rows) >= ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._rows and self._writer is not None:
            columns = zip(*self._rows, strict=True)
            arrays = [pa.array(list(column), field.type) for column, field in zip(columns, self._schema, strict=True)]
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
            self._rows = []

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: object) -> None:
        try:
            if error is None:
                self._flush()
        finally:
            self._close()


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
