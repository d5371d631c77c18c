"""Read drift from drawn rows of a window of served slates (ordered lists of recommended items).

A window is compared with what users were shown in the week before. A generation (a trained set of models and tables)
changes what is shown and how items are scored. So with several generations in the week and the window, columns that
follow the tables are left out and the limits are higher. The comparison with the week may alarm if the week has enough
users. Until then that with the slates of the training may: served slates differ from the training for reasons that are
no fault, such as the day of the week.

An alarm needs a size and a p value. The size alone would alarm by chance with few users, the p value alone would alarm
about differences that do not matter with many users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from recsys.kernels.feature_kernels import NAMES
from recsys.retrieval.registry import WITH_THE_QUERY
from recsys.types import I64, Mode
from training.drift import ALPHA, GENERATIONS, ONE_GENERATION, TRAINING_SLATES
from training.drift.statistics import binned, counted, holm, p_of_categories, p_of_numbers, psi
from training.export.training_slates import CONTEXT, SOURCE, columns_to_compare, is_number, segments
from training.read.impressions import PREFIX

TRAINING, WEEK = "training", "week"
"""What a window is compared with: the slates of the training, and those of the week before."""

LEAST_USERS = 100
"""Users in a sample. With fewer, the PSI of ten bins is above 0.1 by chance alone."""

ITEMS = "item", "first_item"


@dataclass(frozen=True)
class ColumnDrift:
    """The difference of a column. p: corrected for all columns of both comparisons. judged: whether it may alarm.

    limit: the PSI of an alarm. bins: names of bins or categories. reference, window: shares of the rows in each of
    them.
    """

    against: str
    column: str
    psi: float
    p: float
    judged: bool
    limit: float
    bins: Sequence[str]
    reference: Sequence[float]
    window: Sequence[float]

    @property
    def name(self) -> str:
        """Of the column in metrics and records."""
        return f"{self.against}/{self.column}"

    @property
    def alarm(self) -> bool:
        """Whether the column drifted."""
        return self.judged and self.p < ALPHA and self.psi >= self.limit


@dataclass(frozen=True)
class _Pair:
    """A column of two samples. p: not corrected."""

    psi: float
    p: float
    bins: Sequence[str]
    reference: I64
    window: I64


@dataclass(frozen=True)
class Samples:
    """Samples with the columns of `columns_to_compare`. limits: the PSI of an alarm, of a column and of the items."""

    reference: pd.DataFrame
    window: pd.DataFrame
    limits: tuple[float, float]


def compare(pairs: Mapping[str, Samples], judged: str) -> list[ColumnDrift]:
    """The differences of all columns, the largest PSI first. pairs: by what the window is compared with.

    A column is compared if both samples have LEAST_USERS values. judged: the comparison that may alarm.
    """
    found: dict[tuple[str, str], _Pair] = {}
    for against, samples in pairs.items():
        for column in _shared(samples.reference, samples.window):
            pair = _pair(column, samples.reference, samples.window)
            if pair is not None:
                found[against, column] = pair
    corrected = holm([pair.p for pair in found.values()])
    drifts = []
    for ((against, column), pair), p in zip(found.items(), corrected.tolist(), strict=True):
        limit = pairs[against].limits[column in ITEMS]
        shares = _shares(pair.reference), _shares(pair.window)
        drifts.append(ColumnDrift(against, column, pair.psi, p, against == judged, limit, pair.bins, *shares))
    return sorted(drifts, key=lambda drift: -drift.psi)


def _shared(reference: pd.DataFrame, window: pd.DataFrame) -> list[str]:
    """The columns of both, and those of the context of either: a context that is no longer sent has drifted."""
    names = dict.fromkeys([*map(str, reference), *map(str, window)])
    return [name for name in names if (name in reference and name in window) or name.startswith(CONTEXT)]


def _pair(column: str, reference: pd.DataFrame, window: pd.DataFrame) -> _Pair | None:
    if is_number(column):
        old, new = (each[column].to_numpy(np.float64) for each in (reference, window))
        old, new = old[np.isfinite(old)], new[np.isfinite(new)]
        if min(len(old), len(new)) < LEAST_USERS:
            return None
        bins, first, second = binned(old, new)
        return _Pair(psi(first, second), p_of_numbers(old, new), bins, first, second)
    if min(len(reference), len(window)) < LEAST_USERS:
        return None
    texts = [each[column].tolist() if column in each else [""] * len(each) for each in (reference, window)]
    bins, first, second = counted(*texts)
    return _Pair(psi(first, second), p_of_categories(first, second), bins, first, second)


def _shares(counts: I64) -> list[float]:
    return [round(each, 5) for each in (counts / max(counts.sum(), 1)).tolist()]


OF_THE_DAY = (
    *(f"{SOURCE}{each.name}" for each in WITH_THE_QUERY),
    "first_item",
    *(f"{PREFIX}{name}" for name in NAMES if name.startswith("popularity") or name == "momentum"),
)
"""Columns that no training fixes: trending items and lists are made after it, and the first place follows what is
popular in the hour. On the demo's data the PSI of the first item is 0.8 to 1.6 against the training."""

OF_THE_TABLES = (
    "first_item",
    *(f"{PREFIX}{name}" for name in NAMES if name.startswith("popularity")),
    *(f"{PREFIX}{name}" for name in ("momentum", "age", "tower", "tower_gap")),
)
"""Columns that each training sets anew. Under nightly trainings of the demo's data their PSI is up to 2.9 on days
without a fault."""


@dataclass(frozen=True)
class DriftReading:
    """The result. users: in the window, of these in mode realtime, in the week before and in the training.

    drifts: the largest PSI first. judged: the comparison that may alarm, empty if none could. segments: the drifts of
    each segment by the same comparison; these have fewer users and as many columns, so none alarms.
    """

    users: Mapping[str, int]
    judged: str = ""
    drifts: Sequence[ColumnDrift] = ()
    segments: Mapping[str, Sequence[ColumnDrift]] = field(default_factory=dict)

    @property
    def alarms(self) -> list[ColumnDrift]:
        """The columns that drifted."""
        return [each for each in self.drifts if each.alarm]

    @property
    def sentence(self) -> str:
        """The result for people."""
        if self.users["window"] < LEAST_USERS:
            return f"Not compared: {self.users['window']:,} users had slates, and {LEAST_USERS} are needed."
        if not self.judged:
            return (
                f"Not compared: {LEAST_USERS} users are needed. {self.users[WEEK]:,} had slates in the week before. "
                f"The training of the generation has slates of {self.users[TRAINING]:,}, which are compared with "
                f"those of {self.users['realtime']:,} users in mode realtime."
            )
        against = "the week before" if self.judged == WEEK else "the training"
        if not self.alarms:
            return f"No column differs from {against}."
        return f"Drift against {against}: {', '.join(each.column for each in self.alarms)}."


def read(window: pd.DataFrame, week: pd.DataFrame, training: pd.DataFrame | None, generation: str) -> DriftReading:
    """Compare rows as `drawn_rows.draw` returns them. generation: whose training is compared with its own rows.

    training: None for an older generation.
    """
    realtime = window[(window["mode"] == Mode.REALTIME.value) & (window["generation"] == generation)]
    users = {"window": len(window), "realtime": len(realtime), WEEK: len(week)}
    users[TRAINING] = 0 if training is None else len(training)
    if len(window) < LEAST_USERS:
        return DriftReading(users)
    pairs = {}
    if len(week) >= LEAST_USERS:
        pairs[WEEK] = week, window
    if training is not None and min(len(training), len(realtime)) >= LEAST_USERS:
        pairs[TRAINING] = training, realtime
    if not pairs:
        return DriftReading(users)
    judged = next(iter(pairs))
    compared = {against: _samples(against, *pair) for against, pair in pairs.items()}
    return DriftReading(users, judged, compare(compared, judged), _segments(judged, *pairs[judged]))


def _samples(against: str, reference: pd.DataFrame, window: pd.DataFrame) -> Samples:
    """Both samples with the columns that can be compared."""
    old, new = columns_to_compare(reference), columns_to_compare(window)
    names = [*map(str, new)]
    if against == TRAINING:
        new = new.drop(columns=[name for name in names if name in OF_THE_DAY or name.startswith(CONTEXT)])
        return Samples(old, new, TRAINING_SLATES)
    if len({*reference["generation"], *window["generation"]}) == 1:
        return Samples(old, new, ONE_GENERATION)
    return Samples(old, new.drop(columns=[name for name in names if name in OF_THE_TABLES]), GENERATIONS)


def _segments(against: str, reference: pd.DataFrame, window: pd.DataFrame) -> dict[str, Sequence[ColumnDrift]]:
    """The drifts of the segments that both samples have enough users of."""
    ours, theirs = segments(window), segments(reference)
    found: dict[str, Sequence[ColumnDrift]] = {}
    for name, rows in ours.items():
        others = theirs.get(name, np.zeros(0, np.int64))
        if min(len(rows), len(others)) >= LEAST_USERS:
            pair = _samples(against, reference.iloc[others], window.iloc[rows])
            found[name] = compare({against: pair}, "")
    return found
