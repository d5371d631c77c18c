"""Parse the cells of a dataset's CSV or Parquet tables: ids, numbers, texts, and lists of categories."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pandas as pd

from recsys.errors import DatasetError
from training.read.quarantine import MOSTLY_BAD, Quarantine, named

NO_NUMBER_WORDS = {"", "nan", "na", "n/a", "null", "none", "-"}
"""Lower-case words that exports write in place of a missing number."""

WITH_COMMA = re.compile(r"[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+)(?:,\d+)?")
"""12,50 and 1.234,50: a point before each three digits or none."""


PLAIN_INTEGER = r"0|-?[1-9][0-9]{0,17}"
"""An id that can be an integer: no leading zero, and within 64 bits."""


def missing(value: object) -> bool:
    """Whether a cell is empty."""
    return value is None or value == "" or value != value or value is pd.NA


def text_of(value: object) -> str | None:
    """A cell as text. Parquet's whole numbers beside a null are floats: 3.0 is 3."""
    if missing(value):
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def parts_of(value: object, separator: str) -> tuple[str, ...]:
    """The categories in a cell: a list as Parquet holds them, or text with separators."""
    if isinstance(value, (list, tuple, np.ndarray)):
        return tuple(str(part) for part in value)
    return () if missing(value) else tuple(part for part in str(value).split(separator) if part)


def each(column: pd.Series, meaning: Callable[[object], object], *, lists: bool = False) -> pd.Series:
    """Convert each cell by `meaning`, equal cells once: a column of objects. DatasetError for a list unless `lists`."""
    cells: list[object] = column.tolist()
    if any(isinstance(cell, (list, np.ndarray)) for cell in cells):  # Parquet's lists, which pandas can't factorize
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


def empty_ids(ids: pd.Series) -> pd.Series:
    """Which ids are empty."""
    if isinstance(ids.dtype, pd.CategoricalDtype):
        empty = np.append(empty_ids(ids.cat.categories.to_series()), True)  # the last: missing
        return pd.Series(empty[ids.cat.codes], ids.index)
    if pd.api.types.is_numeric_dtype(ids):
        return ids.isna()
    return ids.isna() | (ids.astype("str").str.strip() == "")


def ids_of(column: pd.Series, typed: bool) -> pd.Series:
    """Ids as they came: integers if every id is a plain integer, strings otherwise.

    typed: whether text of the file stays text, such as a Parquet column of ISBNs.
    """
    whole = pd.api.types.is_float_dtype(column) and bool((column % 1 == 0).all())  # integers beside a null
    if whole or pd.api.types.is_integer_dtype(column):
        return column.astype("int64")
    categorical = isinstance(column.dtype, pd.CategoricalDtype)
    cells = column.cat.categories if categorical else column
    if typed and pd.api.types.infer_dtype(cells) == "string":
        return column if categorical else column.astype("str")
    text = column.astype("str")
    return text.astype("int64") if text.str.fullmatch(PLAIN_INTEGER).all() else text


def read_numbers(column: pd.Series, decimal: str, table: str, entry: str, quarantine: Quarantine) -> pd.Series:
    """The numbers of a column, NaN for a cell that is empty or bad; a bad cell is noted, and its row stays.

    DatasetError if most cells are bad. table, entry: the section and the entry of the mapping that name the column.
    """
    numbers, bad = _numbers(column, decimal)
    filled = int((numbers.notna() | bad).sum())
    if bad.sum() > MOSTLY_BAD * filled:
        other_mark = "," if decimal == "." else "."
        other_entry = "move the column from numeric to categorical" if entry == "numeric" else f"take {entry} out"
        fix = f"Write numbers alone, such as 12.50, or {other_entry}."
        if _numbers(column[bad], other_mark)[1].sum() < MOSTLY_BAD * bad.sum():
            fix = f'Set decimal = "{other_mark}" in [{table}].'
        raise DatasetError(
            f"{bad.sum():,} of {filled:,} values of the column '{column.name}' ({entry} in [{table}]) are no numbers: "
            f"{named(column[bad])}. {fix}"
        )
    quarantine.note_values(table, column[bad], "not a number")
    return numbers


def _numbers(column: pd.Series, decimal: str) -> tuple[pd.Series, pd.Series]:
    """Numbers, and which cells are bad."""
    if pd.api.types.is_numeric_dtype(column):
        numbers, given = column.astype("float64"), column.notna()
    else:
        text = column.astype("string").str.strip()
        given = ~(text.isna() | text.str.casefold().isin(NO_NUMBER_WORDS)).astype(bool)
        if decimal == ",":
            text = text.where(text.str.fullmatch(WITH_COMMA.pattern).fillna(False))
            text = text.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
        numbers = pd.to_numeric(text.where(given), errors="coerce").astype("float64")
    numbers = numbers.where(np.isfinite(numbers))
    return numbers, given & numbers.isna()
