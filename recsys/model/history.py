"""Assemble a user's history of events at the moment of a request: those of training, those since, the session's.

Serving and the flows that make precomputed lists call the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from recsys.kernels import time_features
from recsys.lists.user_record import UserRecord
from recsys.model.event_types import SeenRule, not_revoked
from recsys.model.feature_spec import FeatureSpec
from recsys.types import CLOCK, F64, HISTORY_LENGTH, I32, I64, U8, Bool, Event, Histories, Id

History = tuple[I32, F64, U8]
"""Item rows, times and event types, oldest first."""

TypeRow = Callable[[str], int | None]
"""From an event type to its row; None for a type that is not part of histories (`FeatureSpec.type_row`)."""

RowsOf = Callable[[Sequence[Id]], Sequence[int | None]]
"""From ids to rows, None for an unknown id. Of 300,000 items, 200 look-ups take 10 ms, and one of 200 ids 0.6 ms."""

NO_HISTORY: History = (np.zeros(0, np.int32), np.zeros(0, np.float64), np.zeros(0, np.uint8))


def first_occurrences(items: I32, times: F64, types: U8, users: I32 | None = None) -> I64:
    """The position of the first event with the same user, item, second and type as each event: [E].

    Such events count as one: the log may have an event that was also sent to the service. Training applies the rule to
    the log, and serving to a history. users: None if all events are of one user.
    """
    acts = items.astype(np.int64) * 256 + types
    keys = (np.floor(times), acts) if users is None else (np.floor(times), acts, users)
    order = np.lexsort(keys)
    differs = np.zeros(len(order), bool)
    differs[:1] = True
    for key in keys:
        ordered = key[order]
        differs[1:] |= ordered[1:] != ordered[:-1]
    found = np.empty(len(order), np.int64)
    found[order] = order[differs][np.cumsum(differs) - 1]
    return found


def assemble(record: UserRecord, since: Iterable[Event], rows_of: RowsOf, type_row: TypeRow) -> History:
    """The history of one user: the record and the events since, repeated events once, oldest first.

    Items that the generation lacks are left out.
    """
    known = _known(list(since), rows_of, type_row)
    if not known:
        return record.items, record.times, record.types
    new_items, new_times, new_types = zip(*known, strict=True)
    items = np.concatenate([record.items, np.array(new_items, np.int32)])
    times = np.concatenate([record.times, np.array(new_times, np.float64)])
    types = np.concatenate([record.types, np.array(new_types, np.uint8)])
    order = np.argsort(times, kind="stable")
    first = first_occurrences(items[order], times[order], types[order]) == np.arange(len(order))
    order = order[first]
    return items[order], times[order], types[order]


def without_revoked(past: History, negative: Bool | None) -> History:
    """A history without negative events and those that they revoke, as the models read it.

    negative: by row of the event types; None without negative types. As in training, only the newest HISTORY_LENGTH
    events count.
    """
    if negative is None or not len(past[0]):
        return past
    items, times, types = past[0][-HISTORY_LENGTH:], past[1][-HISTORY_LENGTH:], past[2][-HISTORY_LENGTH:]
    kept = not_revoked(items[None], types[None], negative)[0]
    return (items, times, types) if kept.all() else (items[kept], times[kept], types[kept])


def hidden_rows(record: UserRecord, past: History, rule: SeenRule, spec: FeatureSpec, now: float) -> I32:
    """Rows of a user's past items that a rule excludes from recommendations; past: as `assemble` returns it.

    rule: the dataset's own, or one without types and days.
    """
    items, times, types = past
    if not rule.excludes:
        return NO_HISTORY[0]
    if rule.everything:
        return np.concatenate([record.seen, items])
    until = rule.until(types, times, rule.mask(spec.event_types, spec.events))
    return np.concatenate([record.excluded(now), items[until > now]])


def stack(histories: Sequence[History], now: Sequence[float], contexts: Sequence[U8] | None = None) -> Histories:
    """Histories of a batch of queries at the times `now`; contexts: [CONTEXTS] each, unknown without."""
    batch = Histories.empty(np.array(now, np.float64))
    batch.context[:, :CLOCK] = time_features.clock(batch.now)
    for row, history in enumerate(histories):
        batch.put(row, *history)
        if contexts is not None:
            batch.context[row, CLOCK:] = contexts[row]
    return batch


def _known(since: list[Event], rows_of: RowsOf, type_row: TypeRow) -> list[tuple[int, float, int]]:
    """The events that are part of a history, as item row, time and type row."""
    if not since:
        return []
    rows = rows_of([event.item_id for event in since])
    types = [type_row(event.event_type) for event in since]
    return [
        (row, event.timestamp, kind)
        for event, row, kind in zip(since, rows, types, strict=True)
        if row is not None and kind is not None
    ]
