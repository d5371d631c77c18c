"""A user's history at the moment of a query: the generation's record, what happened since, and this session.

One function for serving and for the flows that make lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from recsys import moments
from recsys.record import UserRecord
from recsys.types import CLOCK, F64, I32, U8, Event, Histories, Id

History = tuple[I32, F64, U8]
"""Item rows, times and event types, oldest first."""

RowsOf = Callable[[Sequence[Id]], Sequence[int | None]]
"""From items to their rows, all at once: of 300,000 items, 200 one by one take 10 ms, and together 0.6."""

NO_HISTORY: History = (np.zeros(0, np.int32), np.zeros(0, np.float64), np.zeros(0, np.uint8))


def assemble(record: UserRecord, since: Iterable[Event], rows_of: RowsOf, types: Mapping[str, int]) -> History:
    """The past of one user; an event told twice counts once. types: rows of the event types.

    The log that trained the generation may already hold an event that was also sent here: the same item at the same
    second with the same type is one event. Items that the generation doesn't know are left out until the next one.
    """
    fresh = _fresh(record, list(since), rows_of, types)
    if not fresh:
        return record.items, record.times, record.types
    new_items, new_times, new_kinds = zip(*fresh, strict=True)
    items = np.concatenate([record.items, np.array(new_items, np.int32)])
    times = np.concatenate([record.times, np.array(new_times, np.float64)])
    kinds = np.concatenate([record.types, np.array(new_kinds, np.uint8)])
    order = np.argsort(times, kind="stable")
    return items[order], times[order], kinds[order]


def stack(histories: Sequence[History], now: Sequence[float], contexts: Sequence[U8] | None = None) -> Histories:
    """Histories of a batch as arrays, newest last, asked about `now`; contexts: [CONTEXTS] each, unknown without."""
    batch = Histories.empty(np.array(now, np.float64))
    batch.context[:, :CLOCK] = moments.clock(batch.now)
    for row, history in enumerate(histories):
        batch.put(row, *history)
        if contexts is not None:
            batch.context[row, CLOCK:] = contexts[row]
    return batch


def _fresh(
    record: UserRecord, since: list[Event], rows_of: RowsOf, types: Mapping[str, int]
) -> list[tuple[int, float, int]]:
    """What the record does not hold yet, as (item row, time, type row)."""
    if not since:
        return []
    held = record.items.tolist(), record.times.astype(np.int64).tolist(), record.types.tolist()
    told: set[tuple[int, int, int]] = set(zip(*held, strict=True))
    fresh = []
    for event, row in zip(since, rows_of([event.item_id for event in since]), strict=True):
        if row is None:
            continue
        key = (row, int(event.timestamp), types.get(event.event_type, 0))
        if key not in told:
            told.add(key)
            fresh.append((row, event.timestamp, key[2]))
    return fresh
