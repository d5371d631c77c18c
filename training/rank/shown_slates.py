"""Slates that users were shown, as training examples of the ranker: each slate is a query, its items are the
candidates, and the answers are the items that the user took.

Slates without a taken item are no examples: the listwise loss compares a taken item with the others of its slate. Users
take items at the first places more often than the same items further down. This position bias is measured on items that
were drawn at random, and corrected while the ranker trains. The trained ranker has no input for the place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from recsys.model.event_types import UNDECLARED
from recsys.types import F32, F64, I64, Bool
from training.encode.interaction_log import Log
from training.rank.examples import Examples
from training.read.impressions import ShownItems

FEWEST = 100
"""Taken items among drawn ones below which nothing is corrected: the rate of all places then has an error of 10 %."""

PRIOR = 10.0
"""Taken items with which the mean rate of all places counts at each place, so that no rate is 0 or of one click."""

MOST = 100.0
"""The largest weight, one over the propensity. An item with a smaller one would decide the rate of its place."""


@dataclass(frozen=True, slots=True)
class PositionBias:
    """rates: [P] of taken items by place, relative to the best place; empty where too little was drawn."""

    rates: F64

    @property
    def measured(self) -> bool:
        """Whether there is a correction."""
        return len(self.rates) > 0

    def of(self, places: I64) -> F64:
        """The relative rate at places of any shape. A place after the last measured one has its rate; unmeasured: 1."""
        if not self.measured:
            return np.ones(places.shape)
        found: F64 = self.rates[np.minimum(places, len(self.rates) - 1)]
        return found

    def offset(self, places: I64) -> F32 | None:
        """What the loss adds to the scores of slates, so that the scores need not explain the places; None unmeasured.

        Let a user take an item with a probability in proportion to rate(place) * exp(score). Which of a slate's items
        is taken then has the odds exp(score + log rate(place)).
        """
        return np.log(self.of(places)).astype(np.float32) if self.measured else None


def measure(drawn: pd.DataFrame) -> PositionBias:
    """The rates of items that were drawn at random. drawn: columns place, propensity and grade.

    An item counts with one over its propensity: each place then has the same mixture of items.
    """
    taken = (drawn["grade"] > 0).to_numpy(np.float64)
    if taken.sum() < FEWEST:
        return PositionBias(np.zeros(0))
    weights, places = np.minimum(1 / drawn["propensity"].to_numpy(), MOST), drawn["place"].to_numpy(np.int64)
    weights /= weights.mean()
    mean = float((weights * taken).sum() / weights.sum())
    rates = (np.bincount(places, weights * taken) + PRIOR) / (np.bincount(places, weights) + PRIOR / mean)
    return PositionBias(rates / rates.max())


def grade_of(log: Log) -> Callable[[str], float]:
    """The grade of an event type: the mean weight of its events in the log, 0 for a type that the log lacks.

    In a log without event types each event has 1, as its examples have.
    """
    spec = log.catalogue.spec
    if spec.event_types in ((), (UNDECLARED,)):
        return lambda _: 1.0
    count = len(spec.event_types)
    totals, events = np.bincount(log.types, log.weights, count), np.bincount(log.types, minlength=count)
    grades = dict(zip(spec.event_types, (totals / np.maximum(events, 1)).tolist(), strict=True))
    return lambda name: grades.get(name, 0.0)


def slate_examples(shown: ShownItems, chosen: Bool, bias: PositionBias) -> Examples:
    """The examples of some slates. chosen: [S].

    A slate has the grade of its best taken item, and so weighs as a query of the log with an answer of that grade: both
    are one choice of one user among items.
    """
    mine = chosen[shown.slates]
    rows = np.cumsum(chosen)[shown.slates[mine]] - 1
    columns = _count_from_start(rows)
    shape = int(chosen.sum()), int(columns.max(initial=0)) + 1
    answer, places = np.zeros(shape, np.float32), np.zeros(shape, np.int64)
    x, real = np.zeros((*shape, shown.features.shape[1]), np.float32), np.zeros(shape, bool)
    x[rows, columns], real[rows, columns] = shown.features[mine], True
    answer[rows, columns], places[rows, columns] = shown.grades[mine], shown.places[mine]
    weights: F32 = answer.max(axis=1, initial=0)
    return Examples(x, answer, real, weights, bias.offset(places))


def _count_from_start(rows: I64) -> I64:
    """The number of each element in its run of equal, ascending rows, from 0 on."""
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    lengths = np.diff(np.append(starts, len(rows)))
    return np.arange(len(rows)) - np.repeat(starts, lengths)


NEWEST = 0.1
"""Share of the slates, the newest, that train nothing and measure the ranker."""


@dataclass(frozen=True)
class ShownSlates:
    """The slates that users were shown, for one training. test: when the test window of the log begins.

    seconds: that the reading took.
    """

    shown: ShownItems
    test: float
    seconds: float = 0.0

    @cached_property
    def end(self) -> float:
        """When the held-out slates begin: with the test window, or with the newest tenth if that is earlier."""
        times = self.shown.times
        return min(self.test, float(np.quantile(times, 1 - NEWEST))) if len(times) else self.test

    @cached_property
    def digest(self) -> str:
        """A hash of what the ranker learns of the slates."""
        digest, shown = hashlib.sha256(repr((self.test, dict(self.shown.left_out))).encode()), self.shown
        arrays = shown.features, shown.grades, shown.places, shown.slates, shown.users, shown.times, shown.until
        for array in (*arrays, pd.util.hash_pandas_object(shown.drawn, index=False).to_numpy()):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    @property
    def held_out(self) -> Bool:
        """The slates that train nothing and measure the ranker: [S] bool."""
        later: Bool = self.shown.times >= self.end
        return later

    @property
    def trains(self) -> Bool:
        """The slates whose labels were complete before the held-out slates began: [S] bool."""
        earlier: Bool = self.shown.until <= self.end
        return earlier & ~self.held_out

    @property
    def bias(self) -> PositionBias:
        """The position bias of the items whose labels were complete before the held-out slates began."""
        drawn = self.shown.drawn
        return measure(drawn[drawn["labelled_until"] <= self.end])
