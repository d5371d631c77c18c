"""What a look at a tested model saw beside the metric table, as values. Knows neither models nor numpy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

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

    def to_json(self) -> dict[str, Any]:
        """As it stands in a manifest."""
        return asdict(self) | {"histogram": list(self.histogram)}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Scores:
        """Inverse of `to_json`."""
        return cls(**raw | {"histogram": tuple(raw["histogram"])})


@dataclass(frozen=True, slots=True)
class Slate:
    """One test query as a person reads it: the newest titles of the history, newest last, and the ten shown.

    events: in the history that the models see. targets: what the user took next. hits: places on the slate, from 0,
    that hold one.
    """

    user: str
    history: tuple[str, ...]
    events: int
    shown: tuple[str, ...]
    targets: tuple[str, ...]
    hits: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Glimpse:
    """The scores' spread and some users' slates."""

    scores: Scores
    slates: tuple[Slate, ...]
