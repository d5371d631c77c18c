"""Count context lifts of items: how much more often users take an item in a context, such as an hour, than they take
other items.

Features of the ranker are computed from this table.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from recsys.model.context_lift import ContextLift, group_starts, table_columns
from training.encode.interaction_log import Log

PRIOR = 20.0
"""Events that each item has beforehand, distributed over the contexts like the events of all items."""

CELLS = 1 << 26
"""Of the table, at most: 256 MiB. Where the context columns need more, only the hour and the weekday have lifts."""

BLOCK = 1 << 20
"""Events counted at once."""


def context_lift(log: Log) -> ContextLift:
    """The lifts of every item, counted from all events of `log`."""
    n = len(log.catalogue)
    starts = group_starts([len(values) for _, values in log.catalogue.spec.contexts])
    if n * int(starts[-1]) > CELLS:
        starts = group_starts([])
    table = np.zeros((n, int(starts[-1])), np.float32)
    for first in range(0, len(log), BLOCK):
        events = np.arange(first, min(first + BLOCK, len(log)))
        columns = table_columns(log.context_of(events), starts)
        known = columns >= 0
        items = np.broadcast_to(log.items[events, None], columns.shape)[known]
        np.add.at(table, (items, columns[known]), np.float32(1))
    for start, end in pairwise(starts):
        _to_lifts(table[:, start:end])
    return ContextLift(table, starts)


def _to_lifts(counts: np.ndarray) -> None:
    """Replace counts [n, W] of the values of one context column by their lifts."""
    total = counts.sum(axis=0, dtype=np.float64)
    share = (total / max(total.sum(), 1)).astype(np.float32)
    own = counts.sum(axis=1, keepdims=True) + np.float32(PRIOR)
    expected = own * share
    counts += np.float32(PRIOR) * share
    np.divide(counts, expected, out=counts, where=expected > 0)
    counts[:, share == 0] = 1
    np.log(counts, out=counts)
