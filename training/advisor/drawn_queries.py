"""Draw the queries that `python -m training advise` replays from the test events of an evaluation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recsys.types import Bool
from training.encode.interaction_log import SESSION_GAP, Log
from training.encode.protocols import QUERY_SEED
from training.encode.split import Split
from training.judge.replayed_queries import ReplayedQueries

HEAVY_SHARE = 0.1
"""The share of users, by their events before the test, that are the most active ones."""


def draw_queries(parts: Split, most: int) -> ReplayedQueries:
    """At most `most` of the test events of target types, each the target of one query; the same for every age."""
    log = parts.log
    chosen = np.flatnonzero(log.targets[parts.test])
    if len(chosen) > most:
        chosen = np.sort(np.random.default_rng(QUERY_SEED).choice(chosen, most, replace=False))
    events = parts.test[chosen]
    queries = ReplayedQueries(log, log.first_touch[events], log.items[events], {})
    warm = parts.warm[chosen]
    segments: dict[str, Bool] = {
        "all": np.ones(len(events), bool),
        "warm": warm,
        "cold": ~warm,
        "in_session": _in_session(queries),
        "heavy": _most_active(parts.before_test)[queries.users],
    }
    return replace(queries, segments=segments)


def _in_session(queries: ReplayedQueries) -> Bool:
    """Which queries are within half an hour after an event of their user: [Q]."""
    log, counts = queries.log, queries.known(0)
    order, _ = log.by_user
    before = order[np.maximum(queries.ends - 1, 0)]
    found: Bool = (counts > 0) & (queries.times - log.times[before] <= SESSION_GAP)
    return found


def _most_active(log: Log) -> Bool:
    """Which users are among the most active, of those with an event: [U]."""
    events = np.bincount(log.users, minlength=len(log.user_ids))
    known = np.sort(events[events > 0])
    least = known[int(len(known) * (1 - HEAVY_SHARE))] if len(known) else 0
    found: Bool = events >= max(least, 1)
    return found
