"""Parquet files in folders of days (`date=2026-12-01/`), as `python -m flows drain` writes impressions and events:
list, read and write them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from recsys.errors import DatasetError
from recsys.types import Bool
from training.read.locations import Location, reaching, reason, writing

DAY = "date="
"""The begin of a folder's name, before the day."""


@dataclass(frozen=True)
class FileVersion:
    """What changes when a file is written again. changed: nanoseconds since 1970; buckets may round to seconds."""

    size: int
    changed: int


def files_of(folder: Location) -> dict[Location, FileVersion]:
    """All complete Parquet files below a folder, by name. LocationError if the folder can't be listed."""
    with reaching(folder, "read"):
        found = folder.filesystem().get_file_info(fs.FileSelector(folder.path, allow_not_found=True, recursive=True))
    names = {each.path.removeprefix(folder.path).strip("/"): each for each in found}
    return {
        folder / name: FileVersion(names[name].size or 0, names[name].mtime_ns or 0)
        for name in sorted(names)
        if name.endswith(".parquet") and not name.rpartition("/")[2].startswith(".")  # hidden: incomplete
    }


def by_day(folder: Location) -> dict[str, dict[Location, FileVersion]]:
    """The files of a folder by day (2026-12-01), oldest first. LocationError if the folder can't be listed."""
    days: dict[str, dict[Location, FileVersion]] = defaultdict(dict)
    for file, version in files_of(folder).items():
        if file.parent.name.startswith(DAY):
            days[file.parent.name.removeprefix(DAY)][file] = version
    return days


@contextmanager
def reading_parquet(file: Location) -> Iterator[None]:
    """Convert the errors of reading a Parquet file inside the block: LocationError, or DatasetError if it is none."""
    try:
        with reaching(file, "read"):
            yield
    except pa.ArrowException as error:
        raise DatasetError(f"{file} can't be read as Parquet: {reason(file, error)[:200].rstrip('.')}.") from error


def exists(file: Location) -> bool:
    """Whether there is such a file. LocationError if its folder can't be read."""
    with reaching(file, "read"):
        return bool(file.filesystem().get_file_info(file.path).type == fs.FileType.File)


def read_table(file: Location, columns: Sequence[str] | None = None) -> pa.Table:
    """A file as a table. LocationError if it can't be read, DatasetError if it is no Parquet file."""
    with reading_parquet(file):
        return pq.read_table(file.path, filesystem=file.filesystem(), columns=columns, partitioning=None)


def read_files(
    files: Sequence[Location],
    schema: pa.Schema,
    columns: list[str] | dict[str, pc.Expression],
    where: pc.Expression,
) -> pa.Table:
    """Some columns of the rows of some files that meet a condition, in the order of the files. Errors as `read_table`.

    files: at least one, all of one bucket or of this host. columns: of the files, or expressions by name. Other columns
    and rows take no memory.
    """
    with reading_parquet(files[0].parent.parent):
        paths, filesystem = [file.path for file in files], files[0].filesystem()
        return ds.dataset(paths, schema, "parquet", filesystem).to_table(columns=columns, filter=where)


def read_schema(file: Location) -> pa.Schema:
    """The columns of a file."""
    with reading_parquet(file):
        return pq.read_schema(file.path, filesystem=file.filesystem())


def row_groups(file: Location, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The rows of a file, one row group at a time, so that a day of events fits into memory."""
    with reading_parquet(file), pq.ParquetFile(file.path, filesystem=file.filesystem()) as parquet:
        for group in range(parquet.num_row_groups):
            yield parquet.read_row_group(group, columns=columns)


def write_table(table: pa.Table, file: Location) -> None:
    """Write a file of one row group; a reader finds the old file or the new one. LocationError, such as a full disk."""
    write_groups([table], file, table.schema)


def write_groups(groups: Iterator[pa.Table] | Sequence[pa.Table], file: Location, schema: pa.Schema) -> None:
    """Write a file of some row groups, in the same way."""
    with (
        writing(file) as scratch,
        reaching(file, "written"),
        pq.ParquetWriter(scratch, schema, compression="zstd") as writer,
    ):
        for group in groups:
            writer.write_table(group)


def keep_rows(file: Location, kept: Bool) -> None:
    """Rewrite a file with some of its rows. kept: [rows]. A file without rows stays: flows delete none in a bucket."""
    write_groups(filtered([file], kept), file, read_schema(file))


def filtered(files: Sequence[Location], kept: Bool) -> Iterator[pa.Table]:
    """Some of the rows of some files, one row group at a time. kept: which, of all rows in their order."""
    start = 0
    for file in files:
        for group in row_groups(file):
            yield group.filter(pa.array(kept[start : start + len(group)]))
            start += len(group)
