"""Training examples of the ranker from slates that users were shown: each slate is a query, its items are the
candidates, and the answers are the items that the user took.

Slates without a taken item are no examples: the listwise loss compares a taken item with the others of its slate.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recsys.model.event_types import UNDECLARED
from recsys.types import F32, I64, Bool
from training.encode.interaction_log import Log
from training.rank.examples import Examples
from training.rank.position_bias import PositionBias
from training.read.impressions import ShownItems


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
