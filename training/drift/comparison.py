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
from training.drift import ALARM_PSI, ALPHA, ITEM_PSI, TRAINED_ITEM_PSI
from training.drift.drawn_rows import CONTEXT, is_number
from training.drift.statistics import binned, counted, holm, p_of_categories, p_of_numbers, psi

TRAINING, WEEK = "training", "week"
"""What a window is compared with: the slates of the training, and those of the week before."""

LEAST_USERS = 100
"""Users in a sample. With fewer, the PSI of ten bins is above 0.1 by chance alone."""

ITEMS = "item", "first_item"


@dataclass(frozen=True)
class ColumnDrift:
    """The difference of a column. p: corrected for all columns of both comparisons. judged: whether it may alarm.

    bins: names of bins or categories. reference, window: shares of the rows in each of them.
    """

    against: str
    column: str
    psi: float
    p: float
    judged: bool
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
        of_items = TRAINED_ITEM_PSI if self.against == TRAINING else ITEM_PSI
        return self.judged and self.p < ALPHA and self.psi >= (of_items if self.column in ITEMS else ALARM_PSI)


@dataclass(frozen=True)
class _Pair:
    """A column of two samples. p: not corrected."""

    psi: float
    p: float
    bins: Sequence[str]
    reference: I64
    window: I64


def compare(pairs: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]], judged: str) -> list[ColumnDrift]:
    """The differences of all columns, the largest PSI first. pairs: (reference, window) by what is compared with.

    Both have the columns of `columns_to_compare`. A column is compared if both samples have LEAST_USERS values.
    judged: the comparison that may alarm.
    """
    found: dict[tuple[str, str], _Pair] = {}
    for against, (reference, window) in pairs.items():
        for column in _shared(reference, window):
            pair = _pair(column, reference, window)
            if pair is not None:
                found[against, column] = pair
    corrected = holm([pair.p for pair in found.values()])
    drifts = [
        ColumnDrift(*names, pair.psi, p, names[0] == judged, pair.bins, _shares(pair.reference), _shares(pair.window))
        for (names, pair), p in zip(found.items(), corrected.tolist(), strict=True)
    ]
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
