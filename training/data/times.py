"""Times of a log as unix seconds: one format for the whole column, stated in the mapping or the same in all rows.

Numbers and ISO 8601 are detected. Any other format has to be stated, because 01/09/2026 is two dates.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from pandas.tseries.api import guess_datetime_format

from recsys.errors import DatasetError
from training.data.locations import Location
from training.data.quarantine import MOSTLY_BAD, named

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
NUMBER = r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?"
OFFSET = r"[Tt ]\S*(?:[Zz]|[+-]\d\d(?::?\d\d)?)$"
"""An offset from UTC behind a time of day: the -01 of 2026-09-01 is none."""

DAY_OF_YEAR = re.compile(
    r"(?P<first>\d{1,2})(?P<mark>[./-])(?P<second>\d{1,2})(?P=mark)(?P<year>\d{4}|\d\d)"
    r"(?:(?P<gap>,? |T)\d{1,2}:\d\d(?P<seconds>:\d\d)?(?P<fraction>\.\d+)?(?P<noon> ?[AaPp][Mm])?"
    r"(?P<offset> ?(?:Z|[+-]\d\d:?\d\d))?)?"
)
"""A date in numbers that ends with its year, and a time of day."""

LOOKED_AT = 100_000
"""Rows, evenly spaced, by which a format is proposed: a second for each format."""

DAY_NUMBERS = (19_700_101, 20_991_231)

EDGES = pd.Timestamp("0001-01-02"), pd.Timestamp("9999-12-30")
"""A zone moves a time by less than a day, and Python knows no year 0 or 10,000. All of these rows are set aside."""


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """How a column of times is read.

    stated: a format of `strptime`, "iso8601" or one of SCALES; None: detected. zone: of times without an offset; None:
    not stated, which is UTC.
    """

    stated: str | None = None
    zone: ZoneInfo | None = None

    @classmethod
    def of(cls, path: Location, interactions: dict[str, Any]) -> TimeFormat:
        """Read `timestamp_format` and `timezone`; DatasetError where one of them means nothing."""
        stated, zone = interactions.get("timestamp_format"), interactions.get("timezone")
        if stated is not None and not _is_format(stated):
            raise DatasetError(
                f'{path}: timestamp_format in [interactions] is "{ISO}", "unix", "unix_ms", "unix_us" or a format of '
                f'strptime with year, month and day such as "%d/%m/%Y %H:%M:%S", not {stated!r}.'
            )
        try:
            return cls(stated, None if zone is None else ZoneInfo(zone))
        except (ValueError, TypeError, OSError, KeyError) as error:
            raise DatasetError(
                f'{path}: timezone in [interactions] is the name of a time zone such as "Europe/Berlin" or "UTC", not '
                f"{zone!r}."
            ) from error


def _is_format(stated: object) -> bool:
    if not isinstance(stated, str):
        return False
    if stated == ISO or stated in SCALES:
        return True
    parts = set(re.findall(r"%(.)", stated))
    if not (parts & {"Y", "y"} and parts & {"m", "b", "B", "j"} and parts & {"d", "j"}) and not parts & {"c", "x"}:
        return False
    try:
        pd.to_datetime(pd.Series(["2026"]), format=stated, errors="coerce")
    except (ValueError, KeyError):
        return False
    return True


def read_times(column: pd.Series, how: TimeFormat, where: str) -> pd.Series:
    """Unix seconds, NaN for what is no time; DatasetError where the rows disagree or the format has to be stated.

    where: the column and its file, as a sentence names them.
    """
    if pd.api.types.is_datetime64_any_dtype(column):
        return _since_1970(column, how.zone)
    if how.stated is not None:
        return _stated(column, how.stated, how.zone, where)
    if pd.api.types.is_numeric_dtype(column):
        return _numbers(column, column.astype("float64"), {}, where)
    return _detected(_text(column), how.zone, where)


def _stated(column: pd.Series, stated: str, zone: ZoneInfo | None, where: str) -> pd.Series:
    """Unix seconds of the rows in the stated format; DatasetError where most are in one other format."""
    times = _in_format(column if stated in SCALES else _text(column), stated, zone, where)
    if times.isna().sum() <= MOSTLY_BAD * len(times):
        return times
    text = _text(column)
    wrong = text[times.isna() & text.notna()]
    if len(wrong) <= MOSTLY_BAD * len(text):
        return times
    told = f'{where} has {len(wrong):,} of {len(text):,} times that are not in the stated timestamp_format = "{stated}"'
    for other in (ISO, *SCALES):
        if _in_format(text.dropna(), other, zone, where).notna().all():
            raise DatasetError(
                f'{told}: {named(wrong)}. Set timestamp_format = "{other}" in [interactions]: every row fits it.'
            )
    dates = text[_other(text)]
    if len(dates) > MOSTLY_BAD * len(text):
        raise DatasetError(f"{told}: {_proposal(dates)}")
    return times


def _in_format(column: pd.Series, stated: str, zone: ZoneInfo | None, where: str) -> pd.Series:
    if stated in SCALES:
        return _scaled(pd.to_numeric(column, errors="coerce").astype("float64"), stated)
    return _iso(column, zone, where) if stated == ISO else _since_1970(_parsed(column, stated), zone)


def _detected(text: pd.Series, zone: ZoneInfo | None, where: str) -> pd.Series:
    """Unix seconds of the one format that the rows have."""
    is_number = text.str.fullmatch(NUMBER).fillna(False).astype(bool)
    numbers = pd.to_numeric(text.where(is_number), errors="coerce").astype("float64")
    dates = pd.Series(np.nan, text.index) if is_number.all() else _iso(text.where(~is_number), zone, where)
    kinds = {ISO: dates.notna(), "other": _other(text.where(~is_number & dates.isna()))}
    kinds = {kind: mask for kind, mask in kinds.items() if mask.any()}
    if is_number.any():
        return _numbers(text, numbers, kinds, where)
    if len(kinds) > 1:
        _refuse_mixed(text, kinds, where)
    if "other" in kinds:
        raise DatasetError(f"{where} holds dates whose format has to be stated: {_proposal(text[kinds['other']])}")
    return dates


def _numbers(given: pd.Series, numbers: pd.Series, dates: dict[str, pd.Series], where: str) -> pd.Series:
    """Unix seconds of numbers of one scale; DatasetError where there are others, or `dates` beside them."""
    kinds = {kind: (numbers >= low) & (numbers < high) & (numbers != 0) for kind, (low, high, _) in SCALES.items()}
    found = {kind: mask for kind, mask in kinds.items() if mask.any()} | dates
    if len(found) > 1:
        _refuse_mixed(given, found, where)
    if "unix" in found:
        _refuse_day_numbers(given, numbers, where)
    return _scaled(numbers, next(iter(found), "unix"))


def _refuse_mixed(text: pd.Series, found: dict[str, pd.Series], where: str) -> None:
    counts = {kind: int(mask.sum()) for kind, mask in found.items()}
    kinds = ", ".join(f"{KINDS[kind]} ({counts[kind]:,} rows: {named(text[mask])})" for kind, mask in found.items())
    most = max((kind for kind in counts if kind != "other"), key=lambda kind: counts[kind])
    raise DatasetError(
        f"{where} holds times in {len(found)} formats: {kinds}. Write all rows in one format. Or state the right one, "
        f'such as timestamp_format = "{most}", in [interactions]: rows of another format are then set aside.'
    )


def _refuse_day_numbers(given: pd.Series, numbers: pd.Series, where: str) -> None:
    first, last = DAY_NUMBERS
    real = numbers.dropna()
    if not real.between(first, last).all():
        return
    text = _text(given[real.index])
    if _parsed(text, "%Y%m%d").isna().any():
        return
    raise DatasetError(
        f"{where} holds numbers that read as days and as seconds of August 1970: {named(text)}. Set "
        'timestamp_format = "%Y%m%d" in [interactions], or "unix" where they are seconds.'
    )


def _proposal(text: pd.Series) -> str:
    """Two rows that show why a format has to be stated, and the line that would state it."""
    text = text.iloc[:: -(-len(text) // LOOKED_AT)]
    formats = list(dict.fromkeys(form for value in text.drop_duplicates().head(1_000) for form in _formats(value)))[:6]
    read = {form: _parsed(text, form) for form in formats}
    fits = sorted(formats, key=lambda form: -int(read[form].notna().sum()))
    best, rest = fits[0], fits[1:]
    line = f'Set timestamp_format = "{best}"'
    outside = text[read[best].isna()]
    if len(outside):
        inside = text[read[best].notna()]
        told = f'{named(inside, 1)} fits "{best}" and {named(outside, 1)} does not. No format fits every row. '
        return f"{told}Write all rows in one format, such as 2026-09-01T09:35:02Z. {line} to set the others aside."
    other = next((form for form in rest if read[form].notna().any()), None)
    if other is None:
        return f"{named(text)} are not ISO 8601. {line} in [interactions]: every row fits it."
    both, once = text[read[other].notna()], text[read[other].isna()]
    differ = both[read[best][both.index] != read[other][both.index]]
    both = differ if len(differ) else both
    first = both.index[0]
    told = f'{named(both, 1)} is {_day(read[best][first])} as "{best}" and {_day(read[other][first])} as "{other}"'
    if len(once):
        return f'{told}, and {named(once, 1)} fits "{best}" alone. {line} in [interactions]: every row fits it.'
    told += f", and so is {named(both.iloc[1:], 1)}" if len(both) > 1 else ""
    return f'{told}. Every row fits both. {line} or "{other}" in [interactions], whichever is meant.'


def _day(moment: pd.Timestamp) -> str:
    return f"{moment:%Y-%m-%d}"


def _other(text: pd.Series) -> pd.Series:
    """Which rows hold a date that is not ISO 8601."""
    mask = pd.Series(False, text.index)
    values = text.dropna()
    values = values[values.str.contains(r"\d")]
    distinct = values.drop_duplicates()
    dates = {value for value in distinct.iloc[:: -(-len(distinct) // 1_000) or 1] if _formats(value)}
    mask[values.index] = values.str.fullmatch(DAY_OF_YEAR.pattern) | values.isin(dates)
    return mask


def _formats(value: str) -> list[str]:
    """The formats that a date in another format than ISO 8601 may have, day first before month first."""
    found = DAY_OF_YEAR.fullmatch(value)
    if found:
        mark, year = found["mark"], "%Y" if len(found["year"]) == 4 else "%y"
        return [f"{first}{mark}{year}{_time_of_day(found)}" for first in (f"%d{mark}%m", f"%m{mark}%d")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the guess may be the other way round
        guesses = [guess_datetime_format(value, dayfirst=first) for first in (True, False)]
    return list(dict.fromkeys(guess for guess in guesses if guess))


def _time_of_day(found: re.Match[str]) -> str:
    if not found["gap"]:
        return ""
    hour = "%I" if found["noon"] else "%H"
    parts = (("seconds", ":%S"), ("fraction", ".%f"), ("noon", "%p"), ("offset", "%z"))
    rest = "".join((" " if found[name].startswith(" ") else "") + form for name, form in parts if found[name])
    return f"{found['gap']}{hour}:%M{rest}"


def _text(column: pd.Series) -> pd.Series:
    """Cells as text without spaces around it; missing where there is none. Whole numbers have no point."""
    if pd.api.types.is_float_dtype(column) and bool((column.dropna() % 1 == 0).all()):
        column = column.where(np.isfinite(column)).astype("Int64")
    text = column.astype("string").str.strip()
    return text.mask(text == "")


def _scaled(numbers: pd.Series, scale: str) -> pd.Series:
    """Seconds; NaN for a number of another scale."""
    low, high, unit = SCALES[scale]
    return numbers.where((numbers >= low) & (numbers < high)) / unit


def _iso(text: pd.Series, zone: ZoneInfo | None, where: str) -> pd.Series:
    """Unix seconds of ISO 8601 dates; without an offset they are of `zone`."""
    text = text.where(text.str.contains(r"^\d\d\d\d", regex=True).fillna(False))  # pandas reads "now", too
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


def _parsed(text: pd.Series, form: str) -> pd.Series:
    return pd.to_datetime(text, format=form, errors="coerce", utc="%z" in form or "%Z" in form)


def _since_1970(moments: pd.Series, zone: ZoneInfo | None) -> pd.Series:
    """Unix seconds. A time that a clock shows twice is the first of both; one that it skips is the end of the gap."""
    if moments.dt.tz is None:
        moments = moments.dt.as_unit("us").clip(*EDGES)
        summer = np.ones(len(moments), bool)
        moments = moments.dt.tz_localize(zone or "UTC", ambiguous=summer, nonexistent="shift_forward")
    # In microseconds: exports write 0001-01-01 or 9999-12-31 for no date, and nanoseconds end in the year 2262.
    seconds: pd.Series = (moments.dt.as_unit("us") - pd.Timestamp(0, tz="UTC").as_unit("us")).dt.total_seconds()
    return seconds.astype("float64")
