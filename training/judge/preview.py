"""The data of a preview of a tested model: the spread of the ranker's scores, and slates (ordered lists of recommended
items) of some users.

It imports no models and no numpy, so that the report and the gate (the checks before a model goes live) read previews
without torch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

BINS = 10
"""Bars of the histogram: with 1,000 queries a bar that holds 1 % of the queries has ten."""


@dataclass(frozen=True, slots=True)
class Scores:
    """How much of the softmax of a query's scores the first ten candidates hold, over a sample of test queries.

    The scores of a list are defined up to a shift, so their softmax is counted. histogram[b]: queries whose first ten
    candidates hold between b and b + 1 tenths. even: queries whose candidates all have the same score. broken: queries
    with a score that is not a finite number.
    """

    queries: int
    histogram: tuple[int, ...]
    even: int = 0
    broken: int = 0

    def to_json(self) -> dict[str, Any]:
        """The form in a manifest."""
        return asdict(self) | {"histogram": list(self.histogram)}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Scores:
        """Inverse of `to_json`."""
        return cls(**raw | {"histogram": tuple(raw["histogram"])})


@dataclass(frozen=True, slots=True)
class Slate:
    """One test query in titles: the newest items of the history, newest last, and the ten recommended items.

    events: length of the history that the models read. targets: the items that the user took next. hits: places on
    the slate, from 0, that hold a target.
    """

    user: str
    history: tuple[str, ...]
    events: int
    shown: tuple[str, ...]
    targets: tuple[str, ...]
    hits: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """The spread of a model's scores, and its slates for some users."""

    scores: Scores
    slates: tuple[Slate, ...]
