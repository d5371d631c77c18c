"""What a look at a tested model saw beside the metric table, as values. Knows neither models nor numpy."""

from __future__ import annotations

from dataclasses import dataclass

BINS = 10
"""Bars of the histogram: with 1,000 queries even a bar that holds a hundredth of them has ten."""


@dataclass(frozen=True, slots=True)
class Scores:
    """How sure the ranker was of its first ten, over a sample of test queries.

    Scores of a list are defined up to a shift, so what is counted is their softmax: histogram[b] of the queries gave
    the first ten of their candidates between b and b + 1 tenths of all probability. even: queries whose
    candidates all scored the same. broken: queries with a score that is no finite number.
    """

    queries: int
    histogram: tuple[int, ...]
    even: int = 0
    broken: int = 0


@dataclass(frozen=True, slots=True)
class Slate:
    """One test query as a person reads it: the newest titles of the history, newest last, and the ten shown.

    target: what the user took next. place: where it stands on the slate, from 0; None where it is not on it.
    """

    user: str
    history: tuple[str, ...]
    events: int
    shown: tuple[str, ...]
    target: str
    place: int | None


@dataclass(frozen=True, slots=True)
class Glimpse:
    """The scores' spread and some users' slates."""

    scores: Scores
    slates: tuple[Slate, ...]
