"""Read a CSV or Parquet table of a dataset as a pandas frame, with its columns renamed to Tandem's names.

The section [interactions] or [items] of the `dataset.toml` names the file and its columns. A Parquet table is read in
parts, runs of row groups of one file, so that an engine can read the parts on several processes. Text with few distinct
values, such as ids, is read as numbers of distinct values: then a log of any length takes a few bytes an event.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from recsys.errors import DatasetError
from training.processes.engine import LOCAL, Engine
from training.progress import StepProgress, no_step
from training.read.locations import Location, failed, reason
from training.read.mapping import Mapping
from training.read.quarantine import Quarantine
from training.read.table_sections import CONTEXT, NO_FILE, Table

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


SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
"""Marks that exports write between fields in place of commas."""

IDS = ("user_id", "item_id")
CODED = (*IDS, "event_type")
"""Columns of interactions with few distinct values. Contexts are such columns too."""


def check_columns(mapping: Mapping) -> None:
    """DatasetError if a file or a column that the mapping names is missing. Only the headers are read."""
    for section in ("interactions", "items"):
        table = getattr(mapping.toml, section)
        if table is not None and table.file != NO_FILE:
            read_table(mapping, section, Quarantine(), header_only=True)


def read_table(
    mapping: Mapping,
    section: str,
    quarantine: Quarantine,
    *,
    header_only: bool = False,
    engine: Engine = LOCAL,
    progress: StepProgress = no_step,
) -> pd.DataFrame:
    """The rows of a section's file, with Tandem's column names. DatasetError names the file or column and the fix.

    engine: reads the parts of Parquet files. The ids, event types and contexts of their interactions are categorical.
    """
    table: Table = getattr(mapping.toml, section)
    path, columns, place = mapping.file(table), table.columns, f"[{section}] of {mapping.path}"
    with _errors_of(path, place):
        if table.typed:
            found = open_table(path)
            if not found.files:
                raise DatasetError(f"{place} names the folder {path}, which has no Parquet files.")
            frame: pd.DataFrame = found.schema.empty_table().to_pandas().reset_index(drop=True)
            _require_columns(frame, columns, path, place)
            if not header_only:
                frame = _read_parquet(path, columns, engine, progress)
        else:
            text = [theirs for ours, theirs in columns.items() if ours in IDS or ours.startswith(CONTEXT)]
            frame, long_lines = _read_csv(path, text, 0 if header_only else None)
            quarantine.skip_lines(section, long_lines)
            _require_columns(frame, columns, path, place)
    if frame.empty and not header_only:
        raise DatasetError(f"{path} has a header but no rows.")
    return frame[list(columns.values())].set_axis(list(columns), axis=1)  # a file may have a user_id of its own


@contextmanager
def _errors_of(path: Location, place: str) -> Iterator[None]:
    """Convert the errors of reading a table inside the block to a DatasetError or a LocationError."""
    try:
        yield
    except pd.errors.EmptyDataError as error:
        raise DatasetError(f"{path} is empty: it needs a header line and rows.") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 ({str(error).rstrip('.')}). Export it as UTF-8.") from error
    except FileNotFoundError as error:
        raise DatasetError(f"{place} names {path}, which does not exist.") from error
    except OSError as error:
        raise failed(path, "read", error) from error
    except ValueError as error:  # also pandas' ParserError
        raise DatasetError(f"{path} can't be read: {reason(path, error)}.") from error


def _require_columns(frame: pd.DataFrame, columns: dict[str, str], path: Location, section: str) -> None:
    """DatasetError if a column is missing, or if other marks than commas separate the fields."""
    header = [*map(str, frame.columns)]
    for ours, theirs in columns.items():
        if theirs in frame.columns:
            continue
        for mark, name in SEPARATORS.items():
            if len(header) == 1 and mark in header[0]:
                raise DatasetError(
                    f"{path} has {name} between its fields: its first line is '{header[0]}'. Export it with commas, or "
                    "as Parquet."
                )
        entry = "context" if ours.startswith(CONTEXT) else ours
        raise DatasetError(
            f"{path} has no column '{theirs}' (its columns: {', '.join(header[:12])}). Set {entry} in {section} to the "
            "column that holds it."
        )


def _read_parquet(path: Location, columns: dict[str, str], engine: Engine, progress: StepProgress) -> pd.DataFrame:
    """The columns of a Parquet table. In a table of interactions text with few distinct values is categorical."""
    coded = [theirs for ours, theirs in columns.items() if ours in CODED or ours.startswith(CONTEXT)]
    parts = parts_of(path, [*columns.values()], coded if "user_id" in columns else [])
    able = engine.with_access_to(path.text)
    table = pa.concat_tables(able.map(read_part, parts, progress)).unify_dictionaries()
    frame: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=True)
    return frame.reset_index(drop=True)


def _read_csv(path: Location, text: list[str], rows: int | None) -> tuple[pd.DataFrame, list[int]]:
    """The first rows of a CSV in which some columns are text, and the lines with too many fields, which are no rows."""
    with warnings.catch_warnings(record=True) as caught, path.open_text() as stream:
        warnings.simplefilter("always", pd.errors.ParserWarning)
        # Only an empty field is missing: NA and null are names somewhere.
        frame = pd.read_csv(
            stream,
            nrows=rows,
            dtype=dict.fromkeys(text, "str"),
            keep_default_na=False,
            na_values={column: [""] for column in text},
            on_bad_lines="warn",
            low_memory=False,
        )
    found = (re.findall(r"Skipping line (\d+)", str(warning.message)) for warning in caught)
    return frame, [int(line) for lines in found for line in lines]
