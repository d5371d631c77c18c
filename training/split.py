"""Cut a log in time: what the towers learn from, what labels the ranker, what tests both.

    |------------- towers -------------|--- labels ---|--- test ---|
    first event                        T1             T2           last event

Knows no model. A moment belongs to the later side, so events of one second are never on both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.errors import DatasetError
from recsys.types import I64, Bool
from training.config import TrainingConfig
from training.log import DAY, Log

MINIMUM_EVENTS = 50
"""Below this the newest tenth holds fewer than five events, and no figure of it means anything."""

QUERIES_PER_USER = 10
"""Test events of one user, at most, so that a few busy users do not decide the figures."""


@dataclass(frozen=True)
class Split:
    """One log cut at T1 and T2.

    before_labels: events before T1. before_test: events before T2. labels, test: [L], [Q] int64 positions in `log`,
    ascending. warm: [Q] bool, whether the test event's user did anything before T2.
    """

    log: Log
    before_labels: Log
    before_test: Log
    labels: I64
    test: I64
    warm: Bool


def split(log: Log, config: TrainingConfig) -> Split:
    """Cut `log` by the shares of `config`; DatasetError where it is too small or all of one moment."""
    if len(log) < MINIMUM_EVENTS:
        raise DatasetError(
            f"The log has {len(log)} good interactions; training needs at least {MINIMUM_EVENTS}, "
            "so that the newest tenth can test what the rest taught."
        )
    label_moment = _moment(log, 1 - config.test_share - config.label_share)
    test_moment = _moment(log, 1 - config.test_share)
    before_labels, before_test = log.before(label_moment), log.before(test_moment)
    if not len(before_labels) or len(before_test) == len(log):
        days = (log.end - float(log.times[0])) / DAY
        raise DatasetError(
            f"The log can't be split in time: its {len(log):,} interactions lie within {days:.2f} days and the newest "
            f"{config.test_share:.0%} share one moment with the rest. Check that `timestamp` names the column that "
            "says when each interaction happened."
        )
    test = _spread(log, np.arange(len(before_test), len(log)), config.test_queries, config.seed)
    known = np.bincount(before_test.users, minlength=len(log.user_ids)) > 0
    labels = np.arange(len(before_labels), len(before_test))
    return Split(log, before_labels, before_test, labels, test, known[log.users[test]])


def _moment(log: Log, share: float) -> float:
    """The time that leaves `share` of the events before it."""
    return float(log.times[min(int(len(log) * share), len(log) - 1)])


def _spread(log: Log, events: I64, limit: int, seed: int) -> I64:
    """The first QUERIES_PER_USER of `events` of each user; a seeded sample where they are more than `limit`."""
    users = log.users[events]
    order = np.argsort(users, kind="stable")
    place = np.empty(len(users), np.int64)
    place[order] = np.arange(len(users)) - np.searchsorted(users[order], users[order])
    kept = events[place < QUERIES_PER_USER]
    if len(kept) > limit:
        kept = np.sort(np.random.default_rng(seed).choice(kept, limit, replace=False))
    return kept
