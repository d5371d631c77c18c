"""Read the column of times of an interactions log as unix seconds, in a stated or a detected format.

A column has one format: the format that the `dataset.toml` states, or one that all rows have. Only numbers and ISO 8601
are detected. Any other format has to be stated, because 01/09/2026 is two dates: the error proposes a format.
"""

from __future__ import annotations

import re
import warnings
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from pandas.tseries.api import guess_datetime_format

from recsys.errors import DatasetError
from training.read.quarantine import named

ISO = "iso8601"
SCALES = {"unix": (0.0, 1e11, 1.0), "unix_ms": (1e11, 1e14, 1e3), "unix_us": (1e14, 1e17, 1e6)}
"""Numbers since 1970: from, to, and how many are a second. The bounds are years 1973 and 5138 of each finer unit."""

KINDS = {
    "unix": "seconds since 1970",
    "unix_ms": "milliseconds since 1970",
    "unix_us": "microseconds since 1970",
    ISO: "ISO 8601 dates",
    "other": "dates in another format",
}
FORMATS = (
    f'"{ISO}", "unix", "unix_ms", "unix_us" or a format of strptime with year, month and day such as '
    '"%d/%m/%Y %H:%M:%S"'
)
"""What `timestamp_format` takes."""

NUMBER = r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?"
OFFSET = r"[Tt ]\S*(?:[Zz]|[+-]\d\d(?::?\d\d)?)$"
"""An offset from UTC after a time of day. The -01 of 2026-09-01 is none."""

DAY_NUMBERS = (19_700_101, 20_991_231)
"""The smallest and the largest day as a number such as 20260901. As seconds they are in August 1970."""

SHORT_YEAR = re.compile(r"\A(\d{1,2}([./-])\d{1,2}\2)(\d\d)(?!\d)")
SHORT_HOUR = re.compile(r"(?<!\d)\d:\d\d")
"""A date of which the year has two digits, and a time of day of which the hour has one: pandas guesses neither."""

DAY = 86_400
IN_FUTURE = "in the future"
"""The reason for which a row is set aside whose time is more than a day ahead of the clock."""

SAMPLE_VALUES, MOST_FORMATS = 1_000, 6
"""Distinct values that formats are guessed from, and formats that are tested on all rows."""

EDGES = pd.Timestamp("0001-01-02"), pd.Timestamp("9999-12-30")
"""A time zone moves a time by less than a day, and Python has no year 0 or 10,000. All these rows are set aside."""


def are_days(times: pd.Series) -> bool:
    """Whether the times have no time of day: all have that of a midnight, which summer time moves by an hour."""
    return len(times) > 1 and times.mod(DAY).nunique() <= 2


def require_format(stated: str) -> str:
    """The format itself. ValueError unless it is one of FORMATS: a date without a year or a day is no time."""
    if stated == ISO or stated in SCALES:
        return stated
    parts = set(re.findall(r"%(.)", stated))
    whole = parts & {"Y", "y"} and parts & {"m", "b", "B", "j"} and parts & {"d", "j"}
    if not whole and not parts & {"c", "x"}:
        raise ValueError(stated)
    pd.to_datetime(pd.Series(["2026"]), format=stated, errors="coerce")  # ValueError for an unknown part
    return stated


def read_times(column: pd.Series, stated: str | None, zone: ZoneInfo | None, where: str) -> pd.Series:
    """Unix seconds, NaN for a cell that is no time.

    DatasetError if the rows have several formats, or a format that has to be stated. stated: a format of `strptime`,
    "iso8601" or one of SCALES; None: detected. zone: of times without an offset; None: not stated, which is UTC. where:
    the column and its file, at the start of a sentence.
    """
    if pd.api.types.is_datetime64_any_dtype(column):
        return _since_1970(column, zone)
    if stated is None:
        return _detected(column, zone, where)
    if stated in SCALES:
        return _scaled(pd.to_numeric(column, errors="coerce").astype("float64"), stated)
    text = _text(column)
    return _iso(text, zone, where) if stated == ISO else _since_1970(parsed(text, stated), zone)


def _detected(column: pd.Series, zone: ZoneInfo | None, where: str) -> pd.Series:
    """Unix seconds of the one format that the rows have."""
    dates, kinds = pd.Series(np.nan, column.index), {}
    if pd.api.types.is_numeric_dtype(column):
        numbers = column.astype("float64")
    else:
        column = _text(column)
        is_number = column.str.fullmatch(NUMBER).fillna(False).astype(bool)
        numbers = pd.to_numeric(column.where(is_number), errors="coerce").astype("float64")
        if not is_number.all():
            dates = _iso(column.where(~is_number), zone, where)
            kinds = {ISO: dates.notna(), "other": dates_of_another_format(column.where(~is_number & dates.isna()))}
    for scale, (low, high, _) in SCALES.items():
        kinds[scale] = (numbers >= low) & (numbers < high) & (numbers != 0)
    found = {kind: kinds[kind] for kind in KINDS if kind in kinds and kinds[kind].any()}
    if len(found) > 1:
        _refuse_mixed(column, found, where)
    if "other" in found:
        raise DatasetError(
            f"{where} holds dates whose format has to be stated: {proposed_format(column[found['other']])}"
        )
    if "unix" in found and numbers.dropna().between(*DAY_NUMBERS).all():
        text = _text(column[numbers.notna()])
        if parsed(text, "%Y%m%d").notna().all():
            raise DatasetError(
                f"{where} holds numbers that read as days and as seconds of August 1970: {named(text)}. Set "
                'timestamp_format = "%Y%m%d" in [interactions], or "unix" where they are seconds.'
            )
    return dates if ISO in found else _scaled(numbers, next(iter(found), "unix"))


def _refuse_mixed(column: pd.Series, found: dict[str, pd.Series], where: str) -> None:
    counts = {kind: int(mask.sum()) for kind, mask in found.items()}
    kinds = ", ".join(f"{KINDS[kind]} ({counts[kind]:,} rows: {named(column[mask])})" for kind, mask in found.items())
    most = max((kind for kind in counts if kind != "other"), key=lambda kind: counts[kind])
    raise DatasetError(
        f"{where} holds times in {len(found)} formats: {kinds}. Write all rows in one format. Or state the right one, "
        f'such as timestamp_format = "{most}", in [interactions]: rows of another format are then set aside.'
    )


def _text(column: pd.Series) -> pd.Series:
    """Cells as text without spaces around it, missing for an empty cell. Whole numbers have no decimal point."""
    if pd.api.types.is_float_dtype(column) and bool((column.dropna() % 1 == 0).all()):
        column = column.where(np.isfinite(column)).astype("Int64")
    text = column.astype("string").str.strip()
    return text.mask(text == "")


def _scaled(numbers: pd.Series, scale: str) -> pd.Series:
    """Seconds; NaN for a number of another scale."""
    low, high, unit = SCALES[scale]
    return numbers.where((numbers >= low) & (numbers < high)) / unit


def _iso(text: pd.Series, zone: ZoneInfo | None, where: str) -> pd.Series:
    """Unix seconds of ISO 8601 dates. `zone` is the time zone of dates without an offset."""
    text = text.where(text.str.contains(r"^\d\d\d\d", regex=True).fillna(False))  # pandas also parses "now"
    fixed = text.str.contains(OFFSET, regex=True).fillna(False).astype(bool)
    aware, naive = text.where(fixed), text.where(~fixed)
    seconds = _since_1970(pd.to_datetime(aware, format="ISO8601", errors="coerce", utc=True), zone)
    if fixed.all():
        return seconds
    local = _since_1970(pd.to_datetime(naive, format="ISO8601", errors="coerce"), zone)
    if zone is None and seconds.notna().any() and local.notna().any():
        raise DatasetError(
            f"{where} holds times with an offset from UTC ({named(text[seconds.notna()])}) and times without one "
            f"({named(text[local.notna()])}). Set timezone in [interactions] to the time zone of the latter, such as "
            'timezone = "Europe/Berlin" or "UTC".'
        )
    return seconds.where(fixed, local)


def _since_1970(moments: pd.Series, zone: ZoneInfo | None) -> pd.Series:
    """Unix seconds. A local time that occurs twice is the first of both; a skipped one is the end of the gap."""
    if moments.dt.tz is None:
        moments = moments.dt.as_unit("us").clip(*EDGES)
        summer = np.ones(len(moments), bool)
        moments = moments.dt.tz_localize(zone or "UTC", ambiguous=summer, nonexistent="shift_forward")
    # In microseconds: exports write 0001-01-01 or 9999-12-31 for no date, and nanoseconds end in the year 2262.
    seconds: pd.Series = (moments.dt.as_unit("us") - pd.Timestamp(0, tz="UTC").as_unit("us")).dt.total_seconds()
    return seconds.astype("float64")


def parsed(text: pd.Series, form: str) -> pd.Series:
    """The dates in a format, NaT for other text."""
    return pd.to_datetime(text, format=form, errors="coerce", utc="%z" in form or "%Z" in form)


def guessed(text: pd.Series) -> dict[str, pd.Series]:
    """The dates by each format that some values have; the format that most rows have is the first."""
    distinct = text.dropna().drop_duplicates()
    values = distinct.iloc[:: -(-len(distinct) // SAMPLE_VALUES) or 1]
    formats = list(dict.fromkeys(form for value in values for form in _formats(value)))[:MOST_FORMATS]
    dates = {form: parsed(text, form) for form in formats}
    return dict(sorted(dates.items(), key=lambda each: -int(each[1].notna().sum())))


def dates_of_another_format(text: pd.Series) -> pd.Series:
    """Which rows hold a date that is not ISO 8601."""
    found = pd.Series(False, text.index)
    for dates in guessed(text).values():
        found |= dates.notna()
    return found


def proposed_format(text: pd.Series) -> str:
    """Sentences with rows that show why the format has to be stated, and the line that states it."""
    formats = guessed(text)
    (best, dates), *rest = formats.items()
    line, fits = f'Set timestamp_format = "{best}"', dates.notna()
    if not fits.all():
        return (
            f'{named(text[fits], 1)} fits "{best}" and {named(text[~fits], 1)} does not. No format fits every row. '
            f"Write all rows in one format, such as 2026-09-01T09:35:02Z. {line} to set the others aside."
        )
    for other, theirs in rest:
        both = text[theirs.notna() & (theirs != dates)]
        if both.empty:
            continue
        meanings = [f'{formats[form][both.index[0]]:%Y-%m-%d} as "{form}"' for form in (best, other)]
        sentence = f"{named(both, 1)} is {' and '.join(meanings)}"
        if theirs.isna().any():
            alone = named(text[theirs.isna()], 1)
            return f'{sentence}, and {alone} fits "{best}" alone. {line} in [interactions]: every row fits it.'
        sentence += f", and so is {named(both.iloc[1:], 1)}" if len(both) > 1 else ""
        return f'{sentence}. Every row fits both. {line} or "{other}" in [interactions], whichever is meant.'
    return f"{named(text)} are not ISO 8601. {line} in [interactions]: every row fits it."


def _formats(value: str) -> list[str]:
    """The formats that a date may have, day first before month first."""
    long = SHORT_YEAR.sub(r"\g<1>20\3", value)
    padded = SHORT_HOUR.sub(r"0\g<0>", long)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pandas warns that day and month may be the other way round
        guesses = [guess_datetime_format(padded, dayfirst=first) for first in (True, False)]
    found = [guess if long == value else guess.replace("%Y", "%y") for guess in guesses if guess]
    return list(dict.fromkeys(found))
