"""Evaluation protocols: how an interactions log is cut into events for the towers (the retrieval networks), labels for
the ranker, and test events.

    rolling, horizon   |------------- towers -------------|--- labels ---|--- test ---|
                       first event                        T1             T2           last event
    loo, each user     |------------- towers -------------| the 3 before | the last  |

A model is tested on the item of each later event (rolling), on all later items of a user (horizon), or on the last item
of each user (loo, leave one out). The events of one moment belong to the later part, so that no moment is on both
sides of a cut.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from recsys.errors import DatasetError
from recsys.types import I64, Bool
from training.config import TrainingConfig
from training.encode.interaction_log import DAY, Log
from training.encode.slate_events import SlateEvents
from training.read.mapping import Moments

PROTOCOLS = ("loo", "rolling", "horizon")
"""Leave one out; the next item of every later event; all later items of known users."""

IN_TIME = ("rolling", "horizon")
"""The protocols that cut the log at a moment."""

QUERIES_PER_USER = 10
"""Rolling: test events of one user and event type, at most, so that a few busy users do not decide the figures."""

LABELS_PER_USER = 3
"""Leave one out: events before a user's last that label the ranker."""

LEAST_HISTORY = 2
"""Leave one out: events that a user keeps before a held-out one, to predict from and to learn from."""

FEWEST_CHOICES = 200
"""Labels, and test events, that came from no slate; with fewer of one kind all events count."""

QUERY_SEED = 0
"""Draws the test queries. It is not the training's seed: runs of several seeds have the same queries."""


class Cut(NamedTuple):
    """tower_events, model_events: [E] bool, before the labels, before the test. labels, test: positions in the log.

    warnings: sentences on the cut.
    """

    tower_events: Bool
    model_events: Bool
    labels: I64
    test: I64
    warnings: tuple[str, ...] = ()


def check_protocol(protocol: str) -> None:
    """Return if the protocol is known; DatasetError names the protocols."""
    if protocol not in PROTOCOLS:
        raise DatasetError(f"There is no protocol '{protocol}'; there is {', '.join(PROTOCOLS)}.")


def leave_one_out(log: Log, limit: int) -> Cut:
    """Test the last event of each user who has LEAST_HISTORY before it, and label with the events right before it."""
    order, offsets = log.by_user
    size = np.diff(offsets)
    from_last = np.empty(len(log), np.int64)
    from_last[order] = np.repeat(offsets[1:], size) - 1 - np.arange(len(log))
    held_out = size[log.users] - 1 - from_last >= LEAST_HISTORY
    is_test = held_out & (from_last == 0)
    is_label = held_out & (from_last > 0) & (from_last <= LABELS_PER_USER)
    if not is_test.any():
        raise DatasetError(
            f"Leave-one-out tests users with at least {LEAST_HISTORY + 1} interactions, and this log has none. "
            "Use --protocol rolling."
        )
    labels, test = np.flatnonzero(is_label), _sample(np.flatnonzero(is_test), limit)
    # Other events of a session with a held-out item reveal that item.
    known = ~is_test & ~np.isin(log.first_touch, log.first_touch[test])
    learned = known & ~is_label & ~np.isin(log.first_touch, log.first_touch[labels])
    return Cut(learned, known, labels[known[labels] & (log.first_touch[labels] == labels)], test)


def cut_in_time(
    log: Log,
    config: TrainingConfig,
    protocol: str,
    moments: Moments,
    from_slates: Callable[[float], SlateEvents] | None = None,
) -> Cut:
    """Cut the log at two moments; DatasetError where a part is empty.

    from_slates: the events since a moment that came from slates. They are no test events. Those that train the ranker
    through their slate are no labels.
    """
    label_from, test_from = _cuts(log, config, moments)
    learned, known = log.times < label_from, log.times < test_from
    if not learned.any() or known.all():
        days = (log.end - float(log.times[0])) / DAY
        raise DatasetError(
            f"The log can't be split in time: its {len(log):,} interactions lie within {days:.2f} days and the newest "
            f"{config.test_share:.0%} share one moment with the rest. Check that `timestamp` names the column that "
            "says when each interaction happened."
        )
    valid = known.copy()
    valid[known] = log[known].not_revoked  # events of the test window must not revoke a label
    labels, test = np.flatnonzero(valid & ~learned), np.flatnonzero(~known & log.not_revoked)
    warnings: tuple[str, ...] = ()
    if from_slates is not None:
        labels, test, warnings = _own_choices(labels, test, from_slates(label_from))
    if protocol == "horizon":
        labels, test = _later_items(log, labels, learned), _later_items(log, test, known)
        test = _sample_users(log, test, config.test_queries)
    else:
        labels, test = labels[log.first_touch[labels] == labels], _touched_in(log, test, known)
        test = _sample_events(log, test, config.test_queries)
    return Cut(learned, known, labels, test, warnings)


def _own_choices(labels: I64, test: I64, found: SlateEvents) -> tuple[I64, I64, tuple[str, ...]]:
    """Labels that train through no slate, and test events that came from none, if both are enough; else all.

    Also returns a sentence if some came from slates and all count.
    """
    own_labels, own_test = labels[~found.from_usable[labels]], test[~found.from_slate[test]]
    if min(len(own_labels), len(own_test)) >= FEWEST_CHOICES:
        return own_labels, own_test, ()
    if len(own_labels) == len(labels) and len(own_test) == len(test):
        return labels, test, ()
    sentence = (
        f"{len(own_labels):,} of {len(labels):,} labels and {len(own_test):,} of {len(test):,} test events came from "
        f"no logged slate. {FEWEST_CHOICES} of each are needed, so all events count. The figures favour a model that "
        "repeats the slates of the live generation."
    )
    return labels, test, (sentence,)


def hidden_items(log: Log, share: float) -> I64:
    """A drawn share of the ranked items, ascending or not: [H] rows of the catalogue."""
    occurs = np.bincount(log.items, minlength=len(log.catalogue)) > 0
    shown = np.flatnonzero(log.catalogue.available & occurs)
    return np.random.default_rng(QUERY_SEED).choice(shown, int(len(shown) * share), replace=False)


def _cuts(log: Log, config: TrainingConfig, moments: Moments) -> tuple[float, float]:
    """The moments where the labels and the test begin."""
    test_from = moments.test_from
    if test_from is None:
        label_from = _moment(log, 1 - config.test_share - config.label_share)
        test_from = _moment(log, 1 - config.test_share)
    else:
        before = log.before(test_from)
        if not 0 < len(before) < len(log):
            raise DatasetError(
                f"There is nothing to test or nothing to learn from: test_from is {_date(test_from)}, and the "
                f"interactions lie between {_date(float(log.times[0]))} and {_date(log.end)}."
            )
        label_from = _moment(before, 1 - config.label_share / (1 - config.test_share))
    if moments.labels_from is not None:
        label_from = moments.labels_from
        if not log.times[0] < label_from < test_from:
            raise DatasetError(
                f"labels_from is {_date(label_from)}; it has to lie after the first interaction, "
                f"{_date(float(log.times[0]))}, and before the test, {_date(test_from)}."
            )
    return label_from, test_from


def _moment(log: Log, share: float) -> float:
    """The time with `share` of the events before it."""
    return float(log.times[min(int(len(log) * share), len(log) - 1)])


def _date(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M")


def _later_items(log: Log, events: I64, known: Bool) -> I64:
    """Horizon: of `events` those of known users; the first of each item, and no seen item where those are left out."""
    pairs = log.users.astype(np.int64) * len(log.catalogue) + log.items
    targets_first = np.argsort(~log.targets[events], kind="stable")
    _, first = np.unique(pairs[events[targets_first]], return_index=True)
    kept = np.zeros(len(events), bool)
    kept[targets_first[first]] = True
    kept &= np.isin(log.users[events], log.users[known])
    if log.exclude_seen.excludes:
        moment = float(log.times[known].max()) if known.any() else 0.0
        kept &= ~np.isin(pairs[events], pairs[known & (log.hidden_until > moment)])
    return events[kept]


def _sample_users(log: Log, events: I64, limit: int) -> I64:
    """Horizon: the events of `limit` users at most."""
    if not len(events):
        raise DatasetError(
            "The horizon protocol tests the later items of users known before the test, and there are none here. "
            "Use --protocol rolling."
        )
    users = log.users[events]
    return events[np.isin(users, _sample(np.unique(users), limit))]


def _touched_in(log: Log, events: I64, known: Bool) -> I64:
    """Rolling: of `events` the first of each type with each first touch, where the models do not know that touch."""
    touch = log.first_touch[events]
    kinds = touch * max(len(log.catalogue.spec.event_types), 1) + log.types[events]
    first = np.sort(np.unique(kinds, return_index=True)[1])
    kept: I64 = events[first[~known[touch[first]]]]
    return kept


def _sample_events(log: Log, events: I64, limit: int) -> I64:
    """Rolling: QUERIES_PER_USER events of each user and type, and `limit` in all.

    The ten are drawn over all test events of a user: the first ten of a new user are often one visit.
    """
    users = log.users[events].astype(np.int64) * max(len(log.catalogue.spec.event_types), 1) + log.types[events]
    order = np.lexsort((np.random.default_rng(QUERY_SEED).random(len(events)), users))
    place = np.empty(len(users), np.int64)
    place[order] = np.arange(len(users)) - np.searchsorted(users[order], users[order])
    return _sample(events[place < QUERIES_PER_USER], limit)


def _sample(rows: I64, limit: int) -> I64:
    """At most `limit` of `rows`, drawn, ascending."""
    if len(rows) <= limit:
        return rows
    return np.sort(np.random.default_rng(QUERY_SEED).choice(rows, limit, replace=False))
