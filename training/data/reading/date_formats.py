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

SHORT_YEAR = re.compile(r"\A(\d{1,2}([./-])\d{1,2}\2)(\d\d)(?!\d)")
SHORT_HOUR = re.compile(r"(?<!\d)\d:\d\d")
"""A date of which the year has two digits, and a time of day of which the hour has one: pandas guesses neither."""

SAMPLE_VALUES, MOST_FORMATS = 1_000, 6
"""Distinct values that formats are guessed from, and formats that are tested on all rows."""


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
