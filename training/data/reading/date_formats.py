"""Propose a `strptime` format for the dates of a log that are not ISO 8601, for an error message to the operator.

A proposal shows two rows and the line to add to `dataset.toml`. It is never applied: a person states which format is
meant, because 01/09/2026 is two dates.
"""

from __future__ import annotations

import re
import warnings

import pandas as pd
from pandas.tseries.api import guess_datetime_format

from training.data.reading.quarantine import named

NUMERIC_DATE = re.compile(
    r"(?P<first>\d{1,2})(?P<mark>[./-])(?P<second>\d{1,2})(?P=mark)(?P<year>\d{4}|\d\d)"
    r"(?:(?P<gap>,? |T)\d{1,2}:\d\d(?P<seconds>:\d\d)?(?P<fraction>\.\d+)?(?P<noon> ?[AaPp][Mm])?"
    r"(?P<offset> ?(?:Z|[+-]\d\d:?\d\d))?)?"
)
"""A date in numbers that ends with its year, and a time of day."""

SAMPLE_ROWS = 100_000
"""Rows, evenly spaced, that a proposal is tested on: parsing takes a second for each format."""

SAMPLE_VALUES, MOST_FORMATS = 1_000, 6
"""Distinct values that formats are guessed from, and formats that are tested on the sample of rows."""


def parsed(text: pd.Series, form: str) -> pd.Series:
    """The dates in a format, NaT for other text."""
    return pd.to_datetime(text, format=form, errors="coerce", utc="%z" in form or "%Z" in form)


def dates_of_another_format(text: pd.Series) -> pd.Series:
    """Which rows hold a date that is not ISO 8601."""
    values = text.dropna()
    values = values[values.str.contains(r"\d")]
    distinct = values.drop_duplicates()
    dates = {value for value in distinct.iloc[:: -(-len(distinct) // SAMPLE_VALUES) or 1] if _formats(value)}
    mask = pd.Series(False, text.index)
    mask[values.index] = values.str.fullmatch(NUMERIC_DATE.pattern) | values.isin(dates)
    return mask


def proposed_format(text: pd.Series) -> str:
    """Sentences with rows that show why the format has to be stated, and the line that states it."""
    text = text.iloc[:: -(-len(text) // SAMPLE_ROWS)]
    values = text.drop_duplicates().head(SAMPLE_VALUES)
    formats = list(dict.fromkeys(form for value in values for form in _formats(value)))[:MOST_FORMATS]
    dates = {form: parsed(text, form) for form in formats}
    best, *rest = sorted(formats, key=lambda form: -int(dates[form].notna().sum()))
    line, fits = f'Set timestamp_format = "{best}"', dates[best].notna()
    if not fits.all():
        return (
            f'{named(text[fits], 1)} fits "{best}" and {named(text[~fits], 1)} does not. No format fits every row. '
            f"Write all rows in one format, such as 2026-09-01T09:35:02Z. {line} to set the others aside."
        )
    other = next((form for form in rest if dates[form].notna().any()), None)
    if other is None:
        return f"{named(text)} are not ISO 8601. {line} in [interactions]: every row fits it."
    fits_other = dates[other].notna()
    both, differ = text[fits_other], text[fits_other & (dates[best] != dates[other])]
    both = differ if len(differ) else both
    row = both.index[0]
    first, second = (f'{dates[form][row]:%Y-%m-%d} as "{form}"' for form in (best, other))
    sentence = f"{named(both, 1)} is {first} and {second}"
    if not fits_other.all():
        alone = named(text[~fits_other], 1)
        return f'{sentence}, and {alone} fits "{best}" alone. {line} in [interactions]: every row fits it.'
    sentence += f", and so is {named(both.iloc[1:], 1)}" if len(both) > 1 else ""
    return f'{sentence}. Every row fits both. {line} or "{other}" in [interactions], whichever is meant.'


def _formats(value: str) -> list[str]:
    """The formats that a date may have, day first before month first."""
    found = NUMERIC_DATE.fullmatch(value)
    if found:
        mark, year = found["mark"], "%Y" if len(found["year"]) == 4 else "%y"
        return [f"{first}{mark}{year}{_time_of_day(found)}" for first in (f"%d{mark}%m", f"%m{mark}%d")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pandas warns that day and month may be the other way round
        guesses = [guess_datetime_format(value, dayfirst=first) for first in (True, False)]
    return list(dict.fromkeys(guess for guess in guesses if guess))


def _time_of_day(found: re.Match[str]) -> str:
    if not found["gap"]:
        return ""
    hour = "%I" if found["noon"] else "%H"
    parts = (("seconds", ":%S"), ("fraction", ".%f"), ("noon", "%p"), ("offset", "%z"))
    rest = "".join((" " if found[name].startswith(" ") else "") + form for name, form in parts if found[name])
    return f"{found['gap']}{hour}:%M{rest}"
