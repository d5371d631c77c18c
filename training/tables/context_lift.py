"""Count in which contexts each item is taken: the table that `recsys.model.context_lift` looks up."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from recsys.model.context_lift import ContextLift, places, starts_of
from training.data.interaction_log import Log

PRIOR = 20.0
"""Events that an item is given beforehand, spread over contexts as those of all items are."""

CELLS = 1 << 26
"""Of the table, 256 MiB: a catalogue for which the context columns need more has lifts of the clock alone."""

BLOCK = 1 << 20
"""Events counted at once."""


def context_lift(log: Log) -> ContextLift:
    """Lifts as they stand at the end of `log`."""
    n = len(log.catalogue)
    starts = starts_of([len(values) for _, values in log.catalogue.spec.contexts])
    if n * int(starts[-1]) > CELLS:
        starts = starts_of([])
    table = np.zeros((n, int(starts[-1])), np.float32)
    for first in range(0, len(log), BLOCK):
        events = np.arange(first, min(first + BLOCK, len(log)))
        columns = places(log.context_of(events), starts)
        known = columns >= 0
        items = np.broadcast_to(log.items[events, None], columns.shape)[known]
        np.add.at(table, (items, columns[known]), np.float32(1))
    for start, end in pairwise(starts):
        _to_lifts(table[:, start:end])
    return ContextLift(table, starts)


def _to_lifts(counts: np.ndarray) -> None:
    """Counts [n, W] of one group's values become their lifts, in place."""
    total = counts.sum(axis=0, dtype=np.float64)
    share = (total / max(total.sum(), 1)).astype(np.float32)
    own = counts.sum(axis=1, keepdims=True) + np.float32(PRIOR)
    expected = own * share
    counts += np.float32(PRIOR) * share
    np.divide(counts, expected, out=counts, where=expected > 0)
    counts[:, share == 0] = 1
    np.log(counts, out=counts)
