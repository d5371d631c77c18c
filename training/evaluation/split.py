"""Cut a log: what the towers learn from, what labels the ranker, what tests both.

    rolling, horizon   |------------- towers -------------|--- labels ---|--- test ---|
                       first event                        T1             T2           last event
    loo, each user     |------------- towers -------------| the 3 before | the last  |

Knows no model. A moment belongs to the later side, so events of one second are never on both.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import numpy as np

from recsys.errors import DatasetError
from recsys.types import HISTORY_LENGTH, I64, Bool, Histories
from training.config import TrainingConfig
from training.data.interaction_log import DAY, Log
from training.data.mapping import Moments

PROTOCOLS = ("loo", "rolling", "horizon")
"""Leave one out; the next item of every later event; all later items of known users."""

IN_TIME = ("rolling", "horizon")
"""Those that cut the log at a moment."""

MINIMUM_EVENTS = 50
"""Below this the newest tenth holds fewer than five events, and no figure of it means anything."""

QUERIES_PER_USER = 10
"""Rolling test events of one user and event type, at most, so that a few busy users do not decide the figures."""

LABELS_PER_USER = 3
"""Leave one out: events before a user's last that label the ranker."""

LEAST_HISTORY = 2
"""Leave one out: events that a user keeps before a held-out one, to predict from and to learn from."""

QUERY_SEED = 0
"""Draws the test's queries: not the training's seed, so that runs of several seeds answer the same questions."""


@dataclass(frozen=True)
class Split:
    """One log, and which of its events the models may know; DatasetError where they would know what they are asked.

    taught, known: [E] bool, the events of before_labels and of before_test. labels: [L] int64 positions in
    `before_test`, ascending. test: [T] int64 positions in `log`, ascending, each the target of a query or, in horizon,
    one of a query's targets. history: events of a user that a query of the test knows, the newest, at most.
    """

    protocol: str
    log: Log
    taught: Bool
    known: Bool
    labels: I64
    test: I64
    history: int = HISTORY_LENGTH

    def __post_init__(self) -> None:
        labels = np.flatnonzero(self.known)[self.labels]
        self._refuse_known(self.taught, labels, "label")
        self._refuse_known(self.known, self.test, "test")

    @cached_property
    def before_labels(self) -> Log:
        """What the towers know that find the candidates of the labels."""
        return _part(self.log, self.taught)

    @cached_property
    def before_test(self) -> Log:
        """What the models under test know."""
        return _part(self.log, self.known)

    @cached_property
    def warm(self) -> Bool:
        """[T] bool, whether the models knew the test event's user."""
        seen: Bool = np.bincount(self.before_test.users, minlength=len(self.log.user_ids)) > 0
        return seen[self.log.users[self.test]]

    @cached_property
    def ranked(self) -> Bool:
        """[n] bool, the items that the test's targets are ranked among: available, and in some event of the log.

        The measurement of the test alone may read this mask: it names items that occur only in the test.
        """
        occurs = np.bincount(self.log.items, minlength=len(self.log.catalogue)) > 0
        shown: Bool = self.log.catalogue.available & occurs
        return shown

    @cached_property
    def new(self) -> Bool:
        """[T] bool, whether the models had no event of the test event's item."""
        seen: Bool = np.bincount(self.before_test.items, minlength=len(self.log.catalogue)) > 0
        return ~seen[self.log.items[self.test]]

    @cached_property
    def query(self) -> I64:
        """[T] int64, the query of which a test event is a target, numbered from 0."""
        return self.queries_of(self.log.users[self.test])

    def queries_of(self, users: np.ndarray) -> I64:
        """Which query each of some held-out events belongs to: all of a user's to one in horizon, else one each."""
        if self.protocol != "horizon":
            return np.arange(len(users))
        return np.unique(users, return_inverse=True)[1].astype(np.int64)

    def label_queries(self) -> list[I64]:
        """The labels of each of the ranker's queries: all of a user's in horizon, else one each."""
        if self.protocol != "horizon":
            return list(self.labels[:, None])
        query = self.queries_of(self.before_test.users[self.labels])
        order = np.argsort(query, kind="stable")
        return np.split(self.labels[order], np.flatnonzero(np.diff(query[order])) + 1)

    def label_past(self, events: I64) -> tuple[Histories, tuple[I64, I64]]:
        """What is known to the ranker's queries, one label of each given: as `past`."""
        if self.protocol == "horizon":
            users = self.before_test.users[events].astype(np.int64)
            return self.before_labels.final_histories(users), self.before_labels.seen_by(users)
        asked = self.before_test.first_touch[events]
        return self.before_test.histories(asked), self.before_test.seen_before(asked)

    def past(self, events: I64) -> tuple[Histories, tuple[I64, I64]]:
        """What is known to a query, one test event of each given: histories, and all seen as (query, item) pairs.

        In horizon it ends with the models' knowledge; else right before the event. All seen is left out of the
        ranking, also where the histories are cut to the newest `history`.
        """
        if self.protocol == "horizon":
            users = self.log.users[events].astype(np.int64)
            histories, seen = self.before_test.final_histories(users), self.before_test.seen_by(users)
        else:
            asked = self.log.first_touch[events]
            histories, seen = self.log.histories(asked), self.log.seen_before(asked)
        return histories.newest(self.history), seen

    def _refuse_known(self, known: Bool, events: I64, name: str) -> None:
        """DatasetError if `events` are in `known`, or not later than it: for the user, and in time where time cuts."""
        newest = np.full(len(self.log.user_ids), -1)
        seen = np.flatnonzero(known)
        np.maximum.at(newest, self.log.users[seen], seen)
        leaked = known[events] | (newest[self.log.users[events]] >= events)
        if self.protocol in IN_TIME and len(seen):
            leaked |= self.log.times[events] <= self.log.times[seen].max()
        if leaked.any():
            raise DatasetError(
                f"{int(leaked.sum()):,} of the {len(events):,} {name} events are no later than what the models saw "
                f"({self.protocol}): they would be asked for what they were told. Nothing was measured."
            )


def split(
    log: Log,
    config: TrainingConfig,
    protocol: str = "rolling",
    moments: Moments | None = None,
    new_items: float = 0.0,
) -> Split:
    """Cut `log` by a protocol; DatasetError where it is too small, all of one moment or not what `moments` say.

    In time it is cut where `moments` say, else by the shares of `config`. new_items: share of the items of which the
    models are told no event, for a log whose test has few items that are new by themselves.
    """
    check_protocol(protocol)
    if len(log) < MINIMUM_EVENTS:
        raise DatasetError(
            f"The log has {len(log)} good interactions; training needs at least {MINIMUM_EVENTS}, "
            "so that the newest tenth can test what the rest taught."
        )
    if protocol == "loo":
        log = log.standing()
        taught, known, labels, test = _leave_one_out(log, config.test_queries)
        # What a session did with a held-out item gives the item away.
        known &= ~np.isin(log.first_touch, log.first_touch[test])
        taught &= known & ~np.isin(log.first_touch, log.first_touch[labels])
        labels = labels[known[labels] & (log.first_touch[labels] == labels)]
    else:
        taught, known = _cut(log, config, moments or Moments())
        stands = known.copy()
        stands[known] = log[known].stands  # what the test revokes is not known to the labels
        labels, test = np.flatnonzero(stands & ~taught), np.flatnonzero(~known & log.stands)
        if protocol == "horizon":
            labels, test = _wanted(log, labels, taught), _wanted(log, test, known)
        else:
            labels, test = labels[log.first_touch[labels] == labels], _touched_in(log, test, known)
        test = _drawn(protocol, log, test, config.test_queries)
    if not log.targets[test].any():
        raise DatasetError(
            f"The test window holds no event of a target type ({', '.join(log.catalogue.spec.events.targets)}). Name "
            "a type that happens more often as target in [events], or begin the test earlier (test_from)."
        )
    told = _told(log, new_items)
    known = known & told
    labels = np.searchsorted(np.flatnonzero(known), labels[told[labels]])
    return Split(protocol, log, taught & told, known, labels, test)


def check_protocol(protocol: str) -> None:
    """Return if the protocol is known; DatasetError names those that are."""
    if protocol not in PROTOCOLS:
        raise DatasetError(f"There is no protocol '{protocol}'; there is {', '.join(PROTOCOLS)}.")


def _part(log: Log, events: Bool) -> Log:
    """The events of a mask; a view where they are the log's first."""
    count = int(events.sum())
    return log[:count] if events[:count].all() else log[events]


def _leave_one_out(log: Log, limit: int) -> tuple[Bool, Bool, I64, I64]:
    """Test the last event of each user who has LEAST_HISTORY before it, label with those right before it.

    What the towers and the models may know, and the positions of the labels and the test.
    """
    order, offsets = log.by_user
    size = np.diff(offsets)
    from_last = np.empty(len(log), np.int64)
    from_last[order] = np.repeat(offsets[1:], size) - 1 - np.arange(len(log))
    before = size[log.users] - 1 - from_last
    held_out = before >= LEAST_HISTORY
    test = held_out & (from_last == 0)
    label = held_out & (from_last > 0) & (from_last <= LABELS_PER_USER)
    if not test.any():
        raise DatasetError(
            f"Leave-one-out tests users with at least {LEAST_HISTORY + 1} interactions, and this log has none. "
            "Use --protocol rolling."
        )
    known = ~test
    return known & ~label, known, np.flatnonzero(label), _sample(np.flatnonzero(test), limit)


def _cut(log: Log, config: TrainingConfig, moments: Moments) -> tuple[Bool, Bool]:
    """The events before the labels and before the test; DatasetError where either or the test has none."""
    test_from = moments.test_from
    if test_from is None:
        label_from, test_from = (
            _moment(log, 1 - config.test_share - config.label_share),
            _moment(log, 1 - config.test_share),
        )
    else:
        before = log.before(test_from)
        if not 0 < len(before) < len(log):
            raise DatasetError(
                f"There is nothing to test or nothing to learn from: test_from is {_said(test_from)}, and the "
                f"interactions lie between {_said(float(log.times[0]))} and {_said(log.end)}."
            )
        label_from = _moment(before, 1 - config.label_share / (1 - config.test_share))
    if moments.labels_from is not None:
        label_from = moments.labels_from
        if not log.times[0] < label_from < test_from:
            raise DatasetError(
                f"labels_from is {_said(label_from)}; it has to lie after the first interaction, "
                f"{_said(float(log.times[0]))}, and before the test, {_said(test_from)}."
            )
    taught, known = log.times < label_from, log.times < test_from
    if not taught.any() or known.all():
        days = (log.end - float(log.times[0])) / DAY
        raise DatasetError(
            f"The log can't be split in time: its {len(log):,} interactions lie within {days:.2f} days and the newest "
            f"{config.test_share:.0%} share one moment with the rest. Check that `timestamp` names the column that "
            "says when each interaction happened."
        )
    return taught, known


def _moment(log: Log, share: float) -> float:
    """The time that leaves `share` of the events before it."""
    return float(log.times[min(int(len(log) * share), len(log) - 1)])


def _said(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M")


def _drawn(protocol: str, log: Log, events: I64, limit: int) -> I64:
    """Of the test's events those that are asked: QUERIES_PER_USER of each user and type, or all of `limit` users.

    The ten are drawn over a user's whole time: the first ten of a new user are what one first visit holds.
    """
    users = log.users[events]
    if protocol == "horizon":
        if not len(events):
            raise DatasetError(
                "The horizon protocol asks for the later items of users known before the test, and there are none "
                "here. Use --protocol rolling."
            )
        return events[np.isin(users, _sample(np.unique(users), limit))]
    users = users.astype(np.int64) * max(len(log.catalogue.spec.event_types), 1) + log.types[events]
    order = np.lexsort((np.random.default_rng(QUERY_SEED).random(len(events)), users))
    place = np.empty(len(users), np.int64)
    place[order] = np.arange(len(users)) - np.searchsorted(users[order], users[order])
    return _sample(events[place < QUERIES_PER_USER], limit)


def _wanted(log: Log, events: I64, known: Bool) -> I64:
    """Of `events` those of users in `known`: the first of each item, and none they had where those are left out."""
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


def _touched_in(log: Log, events: I64, known: Bool) -> I64:
    """Of `events` the first of each type with each first touch, where the models do not know that touch."""
    touch = log.first_touch[events]
    kinds = touch * max(len(log.catalogue.spec.event_types), 1) + log.types[events]
    _, first = np.unique(kinds, return_index=True)
    first = np.sort(first)
    asked: I64 = events[first[~known[touch[first]]]]
    return asked


def _sample(rows: I64, limit: int) -> I64:
    """At most `limit` of `rows`, drawn, ascending."""
    if len(rows) <= limit:
        return rows
    return np.sort(np.random.default_rng(QUERY_SEED).choice(rows, limit, replace=False))


def _told(log: Log, new_items: float) -> Bool:
    """The events of all items but a drawn share of those that are ranked: [E] bool."""
    occurs = np.bincount(log.items, minlength=len(log.catalogue)) > 0
    shown = np.flatnonzero(log.catalogue.available & occurs)
    hidden = np.random.default_rng(QUERY_SEED).choice(shown, int(len(shown) * new_items), replace=False)
    told: Bool = ~np.isin(log.items, hidden)
    return told
