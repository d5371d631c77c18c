"""A user's history at the moment of a query: the generation's record, what happened since, and this session.

One function for serving and for the flows that make lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from recsys import moments
from recsys.events import SeenRule, standing
from recsys.record import UserRecord
from recsys.spec import FeatureSpec
from recsys.types import CLOCK, F64, HISTORY_LENGTH, I32, U8, Bool, Event, Histories, Id

History = tuple[I32, F64, U8]
"""Item rows, times and event types, oldest first."""

TypeRow = Callable[[str], int | None]
"""From an event type to its row; None for a type that is not part of a history (`FeatureSpec.type_row`)."""

RowsOf = Callable[[Sequence[Id]], Sequence[int | None]]
"""From items to their rows, all at once: of 300,000 items, 200 one by one take 10 ms, and together 0.6."""

NO_HISTORY: History = (np.zeros(0, np.int32), np.zeros(0, np.float64), np.zeros(0, np.uint8))


def assemble(record: UserRecord, since: Iterable[Event], rows_of: RowsOf, type_row: TypeRow) -> History:
    """The past of one user; an event that arrives twice counts once.

    The log that trained the generation may already hold an event that was also sent here: the same item at the same
    second with the same type is one event. Items that the generation doesn't know are left out until the next one.
    """
    fresh = _fresh(record, list(since), rows_of, type_row)
    if not fresh:
        return record.items, record.times, record.types
    new_items, new_times, new_kinds = zip(*fresh, strict=True)
    items = np.concatenate([record.items, np.array(new_items, np.int32)])
    times = np.concatenate([record.times, np.array(new_times, np.float64)])
    kinds = np.concatenate([record.types, np.array(new_kinds, np.uint8)])
    order = np.argsort(times, kind="stable")
    return items[order], times[order], kinds[order]


def still_standing(past: History, negative: Bool | None) -> History:
    """A past without negative events and without what they revoke: what the models see.

    negative: by row of the event types; None where no type is negative. As in training, only the newest
    HISTORY_LENGTH events are looked at.
    """
    if negative is None or not len(past[0]):
        return past
    items, times, types = past[0][-HISTORY_LENGTH:], past[1][-HISTORY_LENGTH:], past[2][-HISTORY_LENGTH:]
    kept = standing(items[None], types[None], negative)[0]
    return (items, times, types) if kept.all() else (items[kept], times[kept], types[kept])


def hidden_rows(record: UserRecord, past: History, rule: SeenRule, spec: FeatureSpec, now: float) -> I32:
    """Rows of a user's past items that a rule keeps out of slates; past: as `assemble` returns it.

    rule: the dataset's own, or one without types and days.
    """
    items, times, types = past
    if not rule.excludes:
        return NO_HISTORY[0]
    if rule.everything:
        return np.concatenate([record.seen, items])
    until = rule.until(types, times, rule.mask(spec.event_types, spec.events))
    return np.concatenate([record.hidden(now), items[until > now]])


def stack(histories: Sequence[History], now: Sequence[float], contexts: Sequence[U8] | None = None) -> Histories:
    """Histories of a batch as arrays, newest last, asked about `now`; contexts: [CONTEXTS] each, unknown without."""
    batch = Histories.empty(np.array(now, np.float64))
    batch.context[:, :CLOCK] = moments.clock(batch.now)
    for row, history in enumerate(histories):
        batch.put(row, *history)
        if contexts is not None:
            batch.context[row, CLOCK:] = contexts[row]
    return batch


def _fresh(record: UserRecord, since: list[Event], rows_of: RowsOf, type_row: TypeRow) -> list[tuple[int, float, int]]:
    """What the record does not hold yet, as (item row, time, type row)."""
    if not since:
        return []
    held = record.items.tolist(), record.times.astype(np.int64).tolist(), record.types.tolist()
    told: set[tuple[int, int, int]] = set(zip(*held, strict=True))
    fresh = []
    for event, row in zip(since, rows_of([event.item_id for event in since]), strict=True):
        kind = type_row(event.event_type)
        if row is None or kind is None:
            continue
        key = (row, int(event.timestamp), kind)
        if key not in told:
            told.add(key)
            fresh.append((row, event.timestamp, key[2]))
    return fresh
