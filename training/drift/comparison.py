"""Compare the columns of two samples of served slates, and name the columns that drifted.

An alarm needs a size and a p value. The size alone would alarm by chance with few users, the p value alone would alarm
about differences that do not matter with many users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recsys.types import I64
from training.drift import ALPHA
from training.drift.statistics import binned, counted, holm, p_of_categories, p_of_numbers, psi
from training.export.training_slates import CONTEXT, is_number

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
