"""Compile a filter's conditions on items for fast evaluation: texts become integer tokens, ranges become intervals.

A generation is one trained set of models and tables; its vocabulary gives the tokens. An item passes a filter if it
meets all conditions. A filter travels to the retrieval process packed into a row of FILTER_WORDS int32.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recsys.filters.conditions import Range, Stated
from recsys.model.feature_spec import FeatureSpec, hashed_token
from recsys.types import F64, I32, Bool

FILTER_WORDS = 128
"""Words of a packed filter, at most: a set of 64 texts and seven ranges fit."""

_TOKENS, _INTERVALS, _POINTS = 1, 2, 3


@dataclass(frozen=True, order=True)
class TokenMatch:
    """Items with one of these content tokens, ascending; no item matches none."""

    tokens: tuple[int, ...]

    def of(self, content: I32, _: F64) -> Bool:
        """Which rows match."""
        met: Bool = np.logical_or.reduce(np.isin(content, self.tokens), axis=1)
        return met

    @property
    def words(self) -> list[int]:
        """As words of a packed filter."""
        return [_TOKENS, len(self.tokens), *self.tokens]


@dataclass(frozen=True, order=True)
class NumberMatch:
    """Items whose number in a column of `ItemTables.numbers` lies in one of these closed intervals."""

    column: int
    intervals: tuple[tuple[float, float], ...]

    def of(self, _: I32, numbers: F64) -> Bool:
        """Which rows match. A missing value is NaN, which no interval holds."""
        values: F64 = numbers[:, self.column]
        met: Bool = np.zeros(len(values), bool)
        for low, high in self.intervals:
            met |= (values >= low) & (values <= high)
        return met

    @property
    def words(self) -> list[int]:
        """As words of a packed filter. A point takes two words, an interval four."""
        points = all(low == high for low, high in self.intervals)
        bounds = [low for low, _ in self.intervals] if points else [bound for both in self.intervals for bound in both]
        return [_POINTS if points else _INTERVALS, len(bounds), self.column, *np.array(bounds).view(np.int32).tolist()]


Match = TokenMatch | NumberMatch


class ConditionError(ValueError):
    """A condition that a generation can't evaluate; the message is a sentence for the caller."""


def match(column: str, condition: Stated, spec: FeatureSpec) -> Match:
    """A condition on a column as a generation evaluates it; ConditionError if it can't.

    A text that no item of the generation has matches only items added since.
    """
    if column not in spec.columns:
        raise ConditionError(f"Items can't be filtered by this column; {there_are(spec.columns)}.")
    if column in spec.edges or column in spec.booleans:
        return _number_match(column, condition, spec)
    if not isinstance(condition, Sequence):
        raise ConditionError("This column holds text; send a list of its values.")
    rows, tokens = spec.token_rows, {f"{column}={value}" for value in condition}
    return TokenMatch(tuple(sorted(rows[token] if token in rows else hashed_token(token) for token in tokens)))


def _number_match(column: str, condition: Stated, spec: FeatureSpec) -> NumberMatch:
    if column in spec.booleans:
        if not isinstance(condition, bool):
            raise ConditionError("This column is true or false; send true or false.")
    elif isinstance(condition, bool):
        raise ConditionError('This column holds numbers; send a range such as {"lt": 20} or a list of numbers.')
    elif not isinstance(condition, Range) and any(isinstance(value, str) for value in condition):
        raise ConditionError("This column holds numbers; send numbers, not text.")
    return NumberMatch(spec.numbers.index(column), _intervals(condition))


def _intervals(condition: Stated) -> tuple[tuple[float, float], ...]:
    if isinstance(condition, Range):
        low = condition.gte if condition.gt is None else math.nextafter(condition.gt, math.inf)
        high = condition.lte if condition.lt is None else math.nextafter(condition.lt, -math.inf)
        return ((-math.inf if low is None else low, math.inf if high is None else high),)
    points = {float(condition)} if isinstance(condition, bool) else {float(value) for value in condition}
    return tuple((point, point) for point in sorted(points))


def there_are(columns: Sequence[str]) -> str:
    """The columns that exist, as the end of a sentence."""
    return f"there are {', '.join(columns)}" if columns else "there is none"


def matches(conditions: Mapping[str, Stated], spec: FeatureSpec) -> tuple[Match, ...]:
    """The matches of a filter."""
    return tuple(match(column, condition, spec) for column, condition in conditions.items())


def meets(matches: Iterable[Match], content: I32, numbers: F64) -> Bool:
    """Which items, of content [n, C] and numbers [n, columns], meet all matches."""
    met = np.ones(len(content), bool)
    for each in matches:
        met &= each.of(content, numbers)
    return met


def packed(matches: Iterable[Match]) -> I32:
    """A filter as a row [FILTER_WORDS], independent of the order of its matches. ValueError if it is too large."""
    words = [word for each in sorted(each.words for each in matches) for word in each]
    if len(words) > FILTER_WORDS:
        raise ValueError(f"A filter of {len(words)} words; {FILTER_WORDS} are the most.")
    row = np.zeros(FILTER_WORDS, np.int32)
    row[: len(words)] = words
    return row


def unpacked(row: I32) -> tuple[Match, ...]:
    """The inverse of `packed`; ValueError if the words are no filter."""
    found: list[Match] = []
    at = 0
    while at < len(row) and row[at]:
        kind, count = row[at : at + 2].tolist() if at + 1 < len(row) else (0, 0)
        at += 2
        size = count if kind == _TOKENS else 1 + 2 * count
        if kind not in (_TOKENS, _INTERVALS, _POINTS) or count < 0 or at + size > len(row):
            raise ValueError("These words are no filter.")
        if kind == _TOKENS:
            found.append(TokenMatch(tuple(row[at : at + count].tolist())))
            at += count
            continue
        bounds = row[at + 1 : at + 1 + 2 * count].copy().view(np.float64).tolist()
        pairs = zip(bounds, bounds, strict=True) if kind == _POINTS else zip(bounds[::2], bounds[1::2], strict=True)
        found.append(NumberMatch(int(row[at]), tuple(pairs)))
        at += 1 + 2 * count
    return tuple(found)
