"""Convert the columns of an interactions log to arrays: event types and contexts as small integers, weights of events,
and item ids of one type.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from recsys.model.event_types import weights_of
from recsys.types import F32, F64, U8
from training.encode.catalogue import ContextColumns
from training.read.dataset import Dataset
from training.read.table_sections import CONTEXT

LEAST_FACTOR, MOST_FACTOR = 0.1, 10.0
"""Bounds of an event's value over the mean value of its type, so that one large order does not dominate."""


def mean_of_one(weights: F32 | F64) -> F32:
    """Weights whose mean is 1 over those above 0."""
    positive = weights[weights > 0]
    return (weights / max(float(positive.mean()) if len(positive) else 1.0, 1e-9)).astype(np.float32)


def event_weights(frame: pd.DataFrame, types: U8, event_types: tuple[str, ...], dataset: Dataset) -> F32:
    """The weight of each event's type, times the event's value over the mean value of the type; 1 on average.

    The factor is 1 for an event without a value.
    """
    weights = weights_of(event_types, dataset.events)[types]
    for name in dataset.weighed_by_value:
        if name in event_types:
            mine = types == event_types.index(name)
            values = pd.to_numeric(frame["value"], errors="coerce").to_numpy(np.float64)[mine]
            mean = np.nanmean(values[values > 0]) if (values > 0).any() else 1.0
            weights[mine] *= np.nan_to_num(values / mean, nan=1.0).clip(LEAST_FACTOR, MOST_FACTOR)
    return mean_of_one(weights)


def rows_by_frequency(column: pd.Series, first: int = 0) -> tuple[U8, tuple[str, ...]]:
    """Each value as an integer, and the 255 most frequent values in the order of their integers, from `first` on.

    Any other value, or a missing one, is 0.
    """
    codes, names = pd.factorize(column)
    order = np.argsort(-np.bincount(codes[codes >= 0], minlength=len(names)), kind="stable")[:255]
    rows = np.zeros(len(names) + 1, np.uint8)  # the last: missing
    rows[order] = np.arange(first, first + len(order))
    return rows[codes], tuple(str(name) for name in np.asarray(names, object)[order])


def context_rows(dataset: Dataset) -> tuple[U8, ContextColumns]:
    """The context of each event as integers, [E, C], and the context columns with their values."""
    found = {c: rows_by_frequency(dataset.interactions[f"{CONTEXT}{c}"], 1) for c in dataset.context_columns}
    contexts = np.zeros((len(dataset.interactions), len(found)), np.uint8)
    for place, (rows, _) in enumerate(found.values()):
        contexts[:, place] = rows
    return contexts, tuple((column, values) for column, (_, values) in found.items())


def ids_of_one_type(known: pd.Series, acted: pd.Series) -> tuple[pd.Index, pd.Index]:
    """Both tables' item ids, as integers if both are integers, as strings otherwise: 7 and "7" are one item."""
    if len(known) and pd.api.types.is_integer_dtype(known) != pd.api.types.is_integer_dtype(acted):
        known, acted = known.astype("str"), acted.astype("str")
    return pd.Index(known.astype("object")), pd.Index(acted.astype("object"))


def id_type(ids: np.ndarray) -> str:
    """The type of a dataset's ids: str or int."""
    return "str" if len(ids) and isinstance(ids[0], str) else "int"
