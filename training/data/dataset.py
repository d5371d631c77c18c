"""The data contract: a folder of tables and a `dataset.toml` that maps their columns to Tandem's.

Knows files and pandas; knows no model. Bad rows leave for a quarantine file with their reason and are counted; a
table that is empty, mostly bad, ambiguous or lacks a column stops with a sentence that names the column and the fix.
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow.parquet as pq

from recsys.errors import DatasetError
from recsys.model.event_types import UNDECLARED, EventRules, SeenRule
from recsys.yes_no import yes_or_no
from training.data.bad_row_examples import examples
from training.data.event_section import check_types
from training.data.id_matching import check_ids
from training.data.locations import Location, failed
from training.data.mapping import Mapping, Moments
from training.data.numbers import read_numbers
from training.data.quarantine import GIVEN, Quarantine, named
from training.data.times import read_times

DAY = 86_400
CLOCKS_DIFFER = 600
"""Seconds by which a shop's clock may be ahead of this one; a time zone read wrongly is at least half an hour."""

IN_FUTURE = "in the future"
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
"""Marks that exports write between fields in place of commas."""

WORDS_SHOWN = 12
"""Unknown words of a column of stock that a sentence lists."""

IDS = ("user_id", "item_id")
CONTEXT = "context."
"""Before a context column's name, so that it can't be one of Tandem's."""


@dataclass(frozen=True)
class Dataset:
    """Validated tables with Tandem's column names.

    interactions: user_id, item_id, timestamp (float64 unix seconds), event_type and a column `context.c` for each of
    `context_columns`, in order of time; rows of one second keep the file's order. items: item_id, title, available and
    content columns. quarantined: {table: {reason: rows}}. moments: when a test in time begins, where the mapping says
    so. protocol: how models of it are taught and measured. events: what its event types mean. weighed_by_value: types
    whose events weigh by `value`. assumptions: a sentence for each thing that the mapping leaves open. bad_values:
    {table: {reason: values}}, of rows that stayed. duplicates: rows of the log that repeat another in every mapped
    column. ahead: kept rows whose time is ahead of the clock. examples: two rows of the files for what the gate may
    refuse, as its sentences name them.
    """

    name: str
    interactions: pd.DataFrame
    items: pd.DataFrame
    exclude_seen: SeenRule
    content_columns: tuple[str, ...] = ()
    numeric_columns: tuple[str, ...] = ()
    boolean_columns: tuple[str, ...] = ()
    quarantined: dict[str, dict[str, int]] = field(default_factory=dict)
    moments: Moments = field(default_factory=Moments)
    context_columns: tuple[str, ...] = ()
    protocol: str = "rolling"
    events: EventRules = field(default_factory=EventRules)
    weighed_by_value: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    bad_values: dict[str, dict[str, int]] = field(default_factory=dict)
    duplicates: int = 0
    ahead: int = 0
    examples: dict[str, str] = field(default_factory=dict)

    @property
    def bad_rows(self) -> int:
        """Rows in quarantine, over all tables."""
        return sum(sum(reasons.values()) for reasons in self.quarantined.values())


def read(data: str | Path, quarantine: Path | None = None) -> Dataset:
    """Read and validate the dataset at `data`; bad rows go to CSV files in `quarantine`, if given."""
    mapping = Mapping.read(data)
    ward = Quarantine(quarantine)
    interactions, assumptions = _read_interactions(mapping, ward)
    duplicates = pd.Series(False, interactions.index) if mapping.keep_duplicates else _repeats(interactions)
    items, content, cells = _read_items(mapping, ward)
    places = (mapping.place(section, "item_id") for section in ("interactions", "items"))
    check_ids(interactions["item_id"], items["item_id"], *places)
    ahead = interactions["timestamp"] > time.time() + CLOCKS_DIFFER
    shown = examples(mapping, interactions, cells, duplicates, ahead)
    interactions = interactions[~duplicates].drop(columns="timestamp" + GIVEN)
    return Dataset(
        mapping.name,
        interactions.reset_index(drop=True),
        items.reset_index(drop=True),
        mapping.exclude_seen,
        content,
        tuple(mapping.items.get("numeric", ())),
        tuple(mapping.items.get("boolean", ())),
        ward.counts,
        mapping.moments,
        tuple(mapping.interactions.get("context", ())),
        mapping.protocol,
        mapping.events or EventRules(),
        mapping.weighed_by_value,
        tuple(assumptions),
        ward.values,
        int(duplicates.sum()),
        int(ahead[~duplicates].sum()),
        ward.examples | shown,
    )


def check_columns(mapping: Mapping) -> None:
    """DatasetError if a file or column that the mapping names is missing.

    It reads the header of each table alone, so that a command can call it before it starts anything.
    """
    for section, columns in (("interactions", _interaction_columns(mapping)), ("items", _item_columns(mapping))):
        if columns:
            _read_table(mapping, section, columns, Quarantine(None), header_only=True)


def _read_table(
    mapping: Mapping, section: str, columns: dict[str, str], ward: Quarantine, *, header_only: bool = False
) -> pd.DataFrame:
    """The file of a section with Tandem's column names; `columns` maps Tandem's name to the file's."""
    spec = getattr(mapping, section)
    path = mapping.folder / spec["file"]
    try:
        if mapping.has_types(section):
            frame = _read_parquet(path, header_only)
        elif header_only:
            with path.open_text() as stream:
                frame = pd.read_csv(stream, nrows=0)
        else:
            text = [theirs for ours, theirs in columns.items() if ours in IDS or ours.startswith(CONTEXT)]
            frame = _read_csv(path, text, section, ward)
    except pd.errors.EmptyDataError as error:
        raise DatasetError(f"{path} is empty: it needs a header line and rows.") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 ({str(error).rstrip('.')}). Export it as UTF-8.") from error
    except FileNotFoundError as error:
        raise DatasetError(f"[{section}] of {mapping.path} names {path}, which does not exist.") from error
    except OSError as error:
        raise failed(path, "read", error) from error
    except (pd.errors.ParserError, ValueError) as error:
        raise DatasetError(f"{path} can't be read as {path.suffix.lstrip('.')}: {str(error).rstrip('.')}.") from error
    for ours, theirs in columns.items():
        if theirs not in frame.columns:
            _refuse_separator(path, frame.columns)
            entry = "context" if ours.startswith(CONTEXT) else ours
            raise DatasetError(
                f"{path} has no column '{theirs}' (its columns: {', '.join(map(str, frame.columns[:12]))}). "
                f"Set {entry} in [{section}] of {mapping.path} to the column that holds it."
            )
    if frame.empty and not header_only:
        raise DatasetError(f"{path} has a header but no rows.")
    return frame[list(columns.values())].set_axis(list(columns), axis=1)  # a file may have a user_id of its own


def _refuse_separator(path: Location, header: pd.Index) -> None:
    """DatasetError where a header of one column shows that other marks than commas are between the fields."""
    for mark, name in SEPARATORS.items():
        if len(header) == 1 and mark in str(header[0]):
            raise DatasetError(
                f"{path} has {name} between its fields: its first line is '{header[0]}'. Export it with commas, or as "
                "Parquet."
            )


def _read_parquet(path: Location, header_only: bool) -> pd.DataFrame:
    """A Parquet file, or all files of a folder in the order of their names."""
    if header_only:
        dataset = pq.ParquetDataset(path.path, filesystem=path.filesystem(), partitioning=None)
        frame: pd.DataFrame = dataset.schema.empty_table().to_pandas()
    else:
        frame = pd.read_parquet(path.path, filesystem=path.filesystem(), partitioning=None)
    return frame.reset_index(drop=True)


def _read_csv(path: Location, text: list[str], section: str, ward: Quarantine) -> pd.DataFrame:
    """A CSV in which some columns are text; lines with too many fields are set aside."""
    with warnings.catch_warnings(record=True) as told, path.open_text() as stream:
        warnings.simplefilter("always", pd.errors.ParserWarning)
        # Only an empty field is missing: NA and null are names somewhere.
        frame = pd.read_csv(
            stream,
            dtype=dict.fromkeys(text, "str"),
            keep_default_na=False,
            na_values={column: [""] for column in text},
            on_bad_lines="warn",
            low_memory=False,
        )
    ward.skip(section, [int(n) for word in told for n in re.findall(r"Skipping line (\d+)", str(word.message))])
    return frame


def _interaction_columns(mapping: Mapping) -> dict[str, str]:
    """The file's name of each of Tandem's columns of the log."""
    entries = (*IDS, "timestamp", "event_type", "value")
    columns = {entry: mapping.interactions[entry] for entry in entries if entry in mapping.interactions}
    return columns | {f"{CONTEXT}{column}": column for column in mapping.interactions.get("context", ())}


def _item_columns(mapping: Mapping) -> dict[str, str]:
    """The file's name of each of Tandem's columns of the items; none where there is no items table."""
    spec = mapping.items
    columns = {entry: spec[entry] for entry in ("item_id", "title", "categories", "available") if entry in spec}
    return columns | {column: column for kind in ("categorical", "numeric", "boolean") for column in spec.get(kind, ())}


def _read_interactions(mapping: Mapping, ward: Quarantine) -> tuple[pd.DataFrame, list[str]]:
    """The good rows in order of time, each under its number in the file, and what was assumed of their event types."""
    columns = _interaction_columns(mapping)
    frame = _read_table(mapping, "interactions", columns, ward)[list(columns)]
    frame["timestamp" + GIVEN] = frame["timestamp"]
    frame["timestamp"] = read_times(frame["timestamp"], mapping.times, mapping.place("interactions", "timestamp"))
    if "value" in frame:
        values = frame["value"].rename(mapping.interactions["value"])
        frame["value"] = read_numbers(values, mapping.decimals["interactions"], "interactions", "value", ward)
    if "event_type" in frame:
        types = frame["event_type"].replace("", None).fillna(UNDECLARED)
        frame["event_type"] = types.astype("str").astype("category")
    else:
        frame["event_type"] = pd.Categorical.from_codes(np.zeros(len(frame), np.int8), pd.Index([UNDECLARED]))
    for column in columns:
        if column.startswith(CONTEXT):
            frame[column] = _each(frame[column], _word).astype("category")
    schema = pa.DataFrameSchema(
        {
            "user_id": pa.Column(checks=_filled(), nullable=False),
            "item_id": pa.Column(checks=_filled(), nullable=False),
            # One time in the far future would move the log's end, and with it every window, to itself.
            "timestamp": pa.Column(
                float,
                [
                    pa.Check(lambda t: np.isfinite(t) & (t >= 0), error="not a time", ignore_na=False),
                    pa.Check(lambda t: ~(t >= time.time() + DAY) | np.isinf(t), error=IN_FUTURE, ignore_na=False),
                ],
                nullable=True,  # the check says it better
            ),
        }
    )
    good = ward.sift("interactions", frame, schema, str(mapping.folder / mapping.interactions["file"]), columns)
    typed = mapping.has_types("interactions")
    good = good.assign(user_id=_ids(good["user_id"], typed), item_id=_ids(good["item_id"], typed))
    assumptions = check_types(
        mapping.path,
        mapping.interactions.get("event_type"),
        good["event_type"],
        mapping.events,
        mapping.exclude_seen,
        mapping.weighed_by_value,
    )
    return good.sort_values("timestamp", kind="stable"), assumptions


def _repeats(log: pd.DataFrame) -> pd.Series:
    """Which rows of a log in order of time repeat an earlier one in every column."""
    times = log["timestamp"].to_numpy()
    with_next = np.append(times[1:] == times[:-1], False)
    shared = with_next | np.roll(with_next, 1)  # a row of a time of its own repeats nothing
    repeats = np.zeros(len(log), bool)
    repeats[shared] = log.loc[shared, log.columns != "timestamp" + GIVEN].duplicated()
    return pd.Series(repeats, log.index)


def _read_items(mapping: Mapping, ward: Quarantine) -> tuple[pd.DataFrame, tuple[str, ...], pd.DataFrame]:
    """The good rows, the columns that describe an item, and the same rows with the cells of the file."""
    if not mapping.items:
        none = pd.DataFrame({"item_id": pd.Series(dtype="str")})
        return none, (), none
    spec = mapping.items
    columns = _item_columns(mapping)
    frame = _read_table(mapping, "items", columns, ward)
    schema = _described_once("item_id")
    good = ward.sift("items", frame, schema, str(mapping.folder / spec["file"]), columns)
    good = good.assign(item_id=_ids(good["item_id"], mapping.has_types("items")))
    cells = good.copy()
    if "categories" in good:
        separator = spec.get("separator", "|")
        good["categories"] = _each(good["categories"], lambda value: _parts(value, separator), lists=True)
    _check_truths(good, mapping)
    for column in spec.get("categorical", []):
        good[column] = _each(good[column], lambda value: None if _missing(value) else str(value))
    for column in spec.get("numeric", []):
        good[column] = read_numbers(good[column], mapping.decimals["items"], "items", "numeric", ward)
    for column in spec.get("boolean", []):
        good[column] = _truths(good[column], mapping)
    if "available" in good:
        good["available"] = _available(good["available"], mapping)
    content = tuple(column for column in columns if column not in ("item_id", "title", "available"))
    kept = [c for c in ("item_id", "title", "available", *content) if c in good]
    return good[kept], content, cells[kept]


def _available(column: pd.Series, mapping: Mapping) -> pd.Series:
    """Whether each item can be had; an empty cell hides nothing. DatasetError for a word of unknown meaning."""
    more = mapping.items.get("available_values", {})
    meant = {"": True} | more
    found = _each(column, lambda value: yes_or_no("" if _missing(value) else value, meant))
    unknown = column[found.isna()]
    where = mapping.place("items", "available")
    if len(unknown):
        words = unknown.drop_duplicates()
        rows = words if len(words) > 1 else unknown
        such = f"{len(words):,} such value{'s' * (len(words) != 1)}"
        more_words = f", {such} in {len(unknown):,} rows" if len(unknown) > 1 else ""
        line = ", ".join(f'"{word}" = true or false' for word in words.head(WORDS_SHOWN))
        line += ", ..." if len(words) > WORDS_SHOWN else ""
        quantity = pd.to_numeric(words, errors="coerce").notna().all()
        raise DatasetError(
            f"{where} holds values that are neither yes nor no: {named(rows)}{more_words}. Say what each means in "
            f"[items] of {mapping.path}: write available_values = {{ {line} }} and keep one truth for each word. false "
            "hides an item." + (" A number of pieces has to become yes or no in the file." if quantity else "")
        )
    if "" not in more and column.map(_missing).all():
        raise DatasetError(
            f"{where} is empty in every row, {named(column)}: no item could be sold out. Take available out of "
            f"[items] of {mapping.path}, or name the column that holds it."
        )
    return found.astype("bool")


def _check_truths(items: pd.DataFrame, mapping: Mapping) -> None:
    """DatasetError where truths of a Parquet file are to be names or numbers: no filter would take true or false."""
    for entry in ("categorical", "numeric") if mapping.has_types("items") else ():
        for column in mapping.items.get(entry, []):
            if pd.api.types.infer_dtype(items[column], skipna=True) == "boolean":
                raise DatasetError(
                    f"The column '{column}' of {mapping.folder / mapping.items['file']} holds true and false "
                    f"({named(items[column])}), and {entry} in [items] of {mapping.path} names it. Move it to boolean."
                )


def _truths(column: pd.Series, mapping: Mapping) -> pd.Series:
    """Whether each cell says yes, None where it is empty. DatasetError for a word of unknown meaning."""
    empty = column.map(_missing)
    found = _each(column, lambda value: None if _missing(value) else yes_or_no(value))
    if len(unknown := column[found.isna() & ~empty]):
        raise DatasetError(
            f"The column '{column.name}' of {mapping.folder / mapping.items['file']} holds values that are neither yes "
            f"nor no: {named(unknown)}. Write yes or no, or move the column from boolean to categorical in [items] of "
            f"{mapping.path}."
        )
    return found


def _each(column: pd.Series, meaning: Callable[[object], object], *, lists: bool = False) -> pd.Series:
    """What the cells of a column mean, as objects; cells that are alike share one. DatasetError for unwanted lists."""
    cells: list[object] = column.tolist()
    if any(isinstance(cell, (list, np.ndarray)) for cell in cells):  # Parquet's lists, which pandas can't tell apart
        if not lists:
            raise DatasetError(
                f"The column '{column.name}' holds lists, and one value a row is wanted there. Name it as `categories` "
                "of [items], which may hold several, or write one value in each row."
            )
        codes = np.arange(len(cells))
    else:
        codes, distinct = pd.factorize(column, use_na_sentinel=False)
        cells = distinct.tolist()
    meanings = np.fromiter(map(meaning, cells), object, len(cells))
    return pd.Series(meanings[codes], column.index, dtype="object")  # a str column would turn None into NaN


def _parts(value: object, separator: str) -> tuple[str, ...]:
    """The categories in one cell: a list as Parquet holds them, or text with separators."""
    if isinstance(value, (list, tuple, np.ndarray)):
        return tuple(str(part) for part in value)
    return () if _missing(value) else tuple(part for part in str(value).split(separator) if part)


def _word(value: object) -> str | None:
    """A cell as text; Parquet's whole numbers beside a null come as floats, and 3.0 is 3."""
    if _missing(value):
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _missing(value: object) -> bool:
    return value is None or value == "" or value != value or value is pd.NA


def _described_once(column: str) -> pa.DataFrameSchema:
    """A table with one row for each id."""
    once = pa.Check(lambda ids: ~ids.duplicated(), error="seen before")
    return pa.DataFrameSchema({column: pa.Column(checks=[_filled(), once], nullable=False)})


def _filled() -> pa.Check:
    def filled(ids: pd.Series) -> pd.Series:
        if pd.api.types.is_numeric_dtype(ids):
            return ids.notna()
        return ids.notna() & (ids.astype("str").str.strip() != "")

    return pa.Check(filled, error="empty", ignore_na=False)


def _ids(column: pd.Series, typed: bool) -> pd.Series:
    """Ids as they came: integers where every one is a plain integer, strings otherwise.

    typed: text of the file stays text, such as a Parquet column of ISBNs.
    """
    whole = pd.api.types.is_float_dtype(column) and bool((column % 1 == 0).all())  # integers that stood beside a null
    if whole or pd.api.types.is_integer_dtype(column):
        return column.astype("int64")
    text = column.astype("str")
    cells = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
    if typed and pd.api.types.infer_dtype(cells) == "string":
        return text
    if text.str.fullmatch(r"0|-?[1-9][0-9]{0,17}").all():
        return text.astype("int64")
    return text
