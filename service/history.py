"""A user's history at the moment of a query: the generation's record, what happened since, and this session."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recsys import moments
from recsys.types import CLOCK, Histories
from service.query import History, Query


def stack(queries: Sequence[Query]) -> Histories:
    """The histories of a batch as arrays, newest last, asked about now and in the requests' contexts."""
    batch = Histories.empty(np.array([query.now for query in queries]))
    batch.context[:, :CLOCK] = moments.clock(batch.now)
    for row, query in enumerate(queries):
        batch.put(row, *query.history)
        batch.context[row, CLOCK:] = query.context
    return batch


def assemble(query: Query) -> History:
    """Item rows, times and event types of one query, oldest first; an event told twice counts once.

    The log that trained the generation may already hold an event that was also sent here: the same item at the same
    second with the same type is one event. Items that the generation doesn't know are left out until the next one.
    """
    record = query.record
    since = _fresh(query)
    if not since:
        return record.items, record.times, record.types
    new_items, new_times, new_kinds = zip(*since, strict=True)
    items = np.concatenate([record.items, np.array(new_items, np.int32)])
    times = np.concatenate([record.times, np.array(new_times, np.float64)])
    kinds = np.concatenate([record.types, np.array(new_kinds, np.uint8)])
    order = np.argsort(times, kind="stable")
    return items[order], times[order], kinds[order]


def _fresh(query: Query) -> list[tuple[int, float, int]]:
    """What the record does not hold yet, as (item row, time, type row)."""
    record, generation = query.record, query.generation
    types = generation.event_types
    told: set[tuple[int, int, int]] = set()
    if query.events or query.session:
        told.update(
            zip(record.items.tolist(), record.times.astype(np.int64).tolist(), record.types.tolist(), strict=True)
        )
    fresh = []
    for event in (*query.events, *query.session):
        row = generation.row_of(event.item_id)
        if row is None:
            continue
        key = (row, int(event.timestamp), types.get(event.event_type, 0))
        if key not in told:
            told.add(key)
            fresh.append((row, event.timestamp, key[2]))
    return fresh
