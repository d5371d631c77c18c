"""Numbers of a table: what a cell holds, and a sentence where a column holds none."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from recsys.errors import DatasetError
from training.data.locations import Location
from training.data.quarantine import MOSTLY_BAD, Quarantine, named

POINT, COMMA = ".", ","
MISSING = {"", "nan", "na", "n/a", "null", "none", "-"}
"""Lower-case words by which exports write that there is no number."""

WITH_COMMA = re.compile(r"[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+)(?:,\d+)?")
"""12,50 and 1.234,50: a point stands before each three digits or nowhere."""

NO_NUMBER = "not a number"


def decimal_of(path: Location, section: str, entries: dict[str, Any]) -> str:
    """The decimal mark of a section; DatasetError unless it is one."""
    mark = entries.get("decimal", POINT)
    if mark not in (POINT, COMMA):
        raise DatasetError(f'{path}: decimal in [{section}] is "." or ",", not {mark!r}.')
    return str(mark)


def read_numbers(column: pd.Series, decimal: str, table: str, entry: str, ward: Quarantine) -> pd.Series:
    """The numbers of a column, NaN where a cell is empty or bad; a bad cell is noted, and its row stays.

    DatasetError where most cells are bad. table, entry: where the mapping names the column.
    """
    numbers, bad = _numbers(column, decimal)
    filled = int((numbers.notna() | bad).sum())
    if bad.sum() > MOSTLY_BAD * filled:
        other = COMMA if decimal == POINT else POINT
        other_way = "move the column from numeric to categorical" if entry == "numeric" else f"take {entry} out"
        fix = f"Write numbers alone, such as 12.50, or {other_way}."
        if _numbers(column[bad], other)[1].sum() < MOSTLY_BAD * bad.sum():
            fix = f'Set decimal = "{other}" in [{table}].'
        raise DatasetError(
            f"{bad.sum():,} of {filled:,} values of the column '{column.name}' ({entry} in [{table}]) are no numbers: "
            f"{named(column[bad])}. {fix}"
        )
    ward.note_values(table, column[bad], NO_NUMBER)
    return numbers


def _numbers(column: pd.Series, decimal: str) -> tuple[pd.Series, pd.Series]:
    """Numbers and which cells are bad."""
    if pd.api.types.is_numeric_dtype(column):
        numbers, given = column.astype("float64"), column.notna()
    else:
        text = column.astype("string").str.strip()
        given = ~(text.isna() | text.str.casefold().isin(MISSING)).astype(bool)
        if decimal == COMMA:
            text = text.where(text.str.fullmatch(WITH_COMMA.pattern).fillna(False))
            text = text.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
        numbers = pd.to_numeric(text.where(given), errors="coerce").astype("float64")
    numbers = numbers.where(np.isfinite(numbers))
    return numbers, given & numbers.isna()
