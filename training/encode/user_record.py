"""The record of a user, as a generation and the store hold it: history and seen items."""

from __future__ import annotations

import numpy as np

from recsys.lists.user_record import UserRecord
from recsys.types import F64, HISTORY_LENGTH, I32, I64
from training.encode.interaction_log import Log

NO_CANDIDATES: I32 = np.zeros(0, np.int32)


def user_record(log: Log, events: I64, candidates: I32 = NO_CANDIDATES) -> UserRecord:
    """The record of a user with these events, oldest first. candidates: precomputed recommendations, best first."""
    newest = events[-HISTORY_LENGTH:]
    seen, until = seen_until(log, events)
    return UserRecord(log.items[newest], log.times[newest], log.types[newest], seen, candidates, until)


def seen_until(log: Log, events: I64) -> tuple[I32, F64]:
    """The items of one user's events, ascending, and the time until which each is hidden; no times where none end."""
    seen, place = np.unique(log.items[events], return_inverse=True)
    if log.exclude_seen.everything or not log.exclude_seen.excludes:
        return seen, np.zeros(0, np.float64)
    until = np.zeros(len(seen), np.float64)
    np.maximum.at(until, place, log.hidden_until[events])
    return seen, until
