"""Read a large table of Parquet files in parts, so that an engine can read the parts on several processes.

A part is a run of row groups of one file. Text with few distinct values, such as ids, is read as numbers of distinct
values: then a log of any length takes a few bytes an event.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from training.read.locations import Location

PART_ROWS = 500_000
"""Rows of a part, at least, where the row groups of a file are smaller: each part costs some milliseconds."""


@dataclass(frozen=True, slots=True)
class TablePart:
    """Some row groups of a file. table: the file or the folder that is read. path: the file's, in its filesystem.

    schema: the columns to read, in the types of the table. coded: the columns of text that become numbers.
    """

    table: Location
    path: str
    groups: tuple[int, ...]
    schema: pa.Schema
    coded: frozenset[str]


def open_table(table: Location) -> pq.ParquetDataset:
    """A Parquet file, or all files of a folder in the order of their names."""
    return pq.ParquetDataset(table.path, filesystem=table.filesystem(), partitioning=None)


def parts_of(table: Location, columns: Sequence[str], coded: Iterable[str]) -> list[TablePart]:
    """The parts of a table in the order of its rows; only the ends of its files are read."""
    dataset, parts = open_table(table), []
    schema = pa.schema([dataset.schema.field(name) for name in columns], dataset.schema.metadata)
    for file in dataset.fragments:
        groups, rows = list[int](), 0
        for group in file.row_groups:
            groups, rows = [*groups, group.id], rows + group.num_rows
            if rows >= PART_ROWS:
                parts.append(TablePart(table, file.path, tuple(groups), schema, frozenset(coded)))
                groups, rows = [], 0
        if groups or not file.row_groups:
            parts.append(TablePart(table, file.path, tuple(groups), schema, frozenset(coded)))
    return parts


def read_part(part: TablePart) -> pa.Table:
    """The rows of a part. A coded column of text is a dictionary of its distinct values and 4 bytes a row."""
    whole = ds.ParquetFileFormat().make_fragment(part.path, part.table.filesystem())
    file = whole.subset(row_group_ids=part.groups)  # make_fragment(row_groups=) forgets their order
    table = file.to_table(schema=part.schema, columns=part.schema.names)
    for name in part.coded:
        table = table.set_column(table.schema.get_field_index(name), name, _coded(table[name]))
    return table


def _coded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):  # files may differ in the width of their numbers
        column = column.cast(column.type.value_type)
    return column.dictionary_encode() if column.type in (pa.string(), pa.large_string()) else column
