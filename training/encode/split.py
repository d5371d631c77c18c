"""Split an interactions log for an evaluation: events that the towers learn from, later events that train the ranker,
and held-out events that test both.

The towers are the retrieval networks. `protocols` has the ways to cut a log. A `Split` with a leak raises a
DatasetError: each label and each test event has to be later than the events that its models know.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from recsys.errors import DatasetError
from recsys.types import F64, I64, Bool, Histories
from training.config import TrainingConfig
from training.encode.interaction_log import DAY, Log
from training.encode.protocols import IN_TIME, check_protocol, cut_in_time, hidden_items, leave_one_out
from training.encode.slate_events import SlateEvents
from training.read.mapping import Moments

MINIMUM_EVENTS = 50
"""Below this the newest tenth holds fewer than five events, too few for a figure."""


@dataclass(frozen=True)
class Split:
    """One log, and the events that the models may know; DatasetError where a model would know what it is tested on.

    tower_events, model_events: [E] bool, the events of before_labels and of before_test. labels: [L] int64 positions
    in `before_test`, ascending. test: [T] int64 positions in `log`, ascending; each event is the target of a query or,
    in horizon, one of a query's targets. warnings: sentences on the split, for the report. hidden: rows of items whose
    events no model knows.
    """

    protocol: str
    log: Log
    tower_events: Bool
    model_events: Bool
    labels: I64
    test: I64
    warnings: tuple[str, ...] = ()
    hidden: I64 = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        labels = np.flatnonzero(self.model_events)[self.labels]
        self._refuse_leak(self.tower_events, labels, "label")
        self._refuse_leak(self.model_events, self.test, "test")

    @cached_property
    def digest(self) -> str:
        """A hash of the log and of how it is split."""
        digest = hashlib.sha256(f"{self.log.digest} {self.protocol}".encode())
        for array in (self.tower_events, self.model_events, self.labels, self.test, self.hidden):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    @cached_property
    def before_labels(self) -> Log:
        """What the towers know that retrieve the candidates of the labels."""
        return _part(self.log, self.tower_events)

    @cached_property
    def before_test(self) -> Log:
        """What the models under test know."""
        return _part(self.log, self.model_events)

    def known_to_labels(self, cut: float) -> Log:
        """What item tables of the moment `cut` count, for the labels: `before_labels`, and all events before `cut`."""
        return self._known(self.tower_events, cut)

    def known_to_test(self, cut: float) -> Log:
        """What item tables of the moment `cut` count, for the test: `before_test`, and all events before `cut`."""
        return self._known(self.model_events, cut)

    def _known(self, events: Bool, cut: float) -> Log:
        later = self.log.times < cut
        if later.any() and len(self.hidden):
            later &= ~np.isin(self.log.items, self.hidden)
        return _part(self.log, events | later)

    def cuts(self, moments: F64) -> F64:
        """The moments of the item tables that queries at some moments read: the midnight (UTC) before each query.

        In serving, nightly trainings make tables as new. `loo` and `horizon` test what a model of one moment knows:
        their queries read its own tables, and their cuts are 0.
        """
        midnights: F64 = np.floor(moments / DAY) * DAY
        return midnights if self.protocol == "rolling" else np.zeros_like(midnights)

    def label_cuts(self, events: I64) -> F64:
        """`cuts` of the ranker's queries, each given by one of its labels."""
        return self.cuts(self.before_test.times[self.before_test.first_touch[events]])

    def test_cuts(self, events: I64) -> F64:
        """`cuts` of test queries, each given by one of its events."""
        return self.cuts(self.log.times[self.log.first_touch[events]])

    @cached_property
    def warm(self) -> Bool:
        """[T] bool, test events of a user with an event in `before_test`."""
        seen: Bool = np.bincount(self.before_test.users, minlength=len(self.log.user_ids)) > 0
        return seen[self.log.users[self.test]]

    @cached_property
    def new(self) -> Bool:
        """[T] bool, test events of an item without an event in `before_test`."""
        seen: Bool = np.bincount(self.before_test.items, minlength=len(self.log.catalogue)) > 0
        return ~seen[self.log.items[self.test]]

    @cached_property
    def ranked(self) -> Bool:
        """[n] bool, the items of the ranking: available, and in some event of the log.

        Only the measurement of the test may read this mask: it names items that occur only in the test.
        """
        occurs = np.bincount(self.log.items, minlength=len(self.log.catalogue)) > 0
        shown: Bool = self.log.catalogue.available & occurs
        return shown

    @cached_property
    def query(self) -> I64:
        """[T] int64, the query of each test event, numbered from 0."""
        return self._queries_of(self.log.users[self.test])

    def label_queries(self) -> list[I64]:
        """The labels of each of the ranker's queries: all labels of a user in horizon, else one."""
        if self.protocol != "horizon":
            return list(self.labels[:, None])
        query = self._queries_of(self.before_test.users[self.labels])
        order = np.argsort(query, kind="stable")
        return np.split(self.labels[order], np.flatnonzero(np.diff(query[order])) + 1)

    def label_past(self, events: I64) -> tuple[Histories, tuple[I64, I64]]:
        """What is known to the ranker's queries, each given by one of its labels; the result is that of `past`."""
        return self._past(self.before_labels, self.before_test, events)

    def past(self, events: I64) -> tuple[Histories, tuple[I64, I64]]:
        """What is known to test queries, each given by one of its events: histories, and seen (query, item) pairs.

        In horizon the past ends with `before_test`, else right before the event.
        """
        return self._past(self.before_test, self.log, events)

    def _past(self, known: Log, log: Log, events: I64) -> tuple[Histories, tuple[I64, I64]]:
        if self.protocol == "horizon":
            users = log.users[events].astype(np.int64)
            return known.final_histories(users), known.seen_by(users)
        first = log.first_touch[events]
        return log.histories(first), log.seen_before(first)

    def _queries_of(self, users: np.ndarray) -> I64:
        """The query of each held-out event: one for each user in horizon, else one for each event."""
        if self.protocol != "horizon":
            return np.arange(len(users))
        return np.unique(users, return_inverse=True)[1].astype(np.int64)

    def _refuse_leak(self, known: Bool, events: I64, name: str) -> None:
        """DatasetError where one of `events` is known, or not later than the user's known events, or than the cut."""
        newest = np.full(len(self.log.user_ids), -1)
        seen = np.flatnonzero(known)
        np.maximum.at(newest, self.log.users[seen], seen)
        leaked = known[events] | (newest[self.log.users[events]] >= events)
        if self.protocol in IN_TIME and len(seen):
            leaked |= self.log.times[events] <= self.log.times[seen].max()
        if leaked.any():
            raise DatasetError(
                f"{int(leaked.sum()):,} of the {len(events):,} {name} events are no later than the events that the "
                f"models learn from ({self.protocol}): the models would be tested on what they know. Nothing was "
                "measured."
            )


def by_cut(cuts: F64, most: int) -> Iterator[tuple[float, list[I64]]]:
    """The positions of the queries with each cut [Q], in chunks of at most `most`; the earliest cut first."""
    order = np.argsort(cuts, kind="stable")
    for same in np.split(order, np.flatnonzero(np.diff(cuts[order])) + 1):
        if len(same):
            yield float(cuts[same[0]]), [same[start : start + most] for start in range(0, len(same), most)]


def split(
    log: Log,
    config: TrainingConfig,
    protocol: str = "rolling",
    moments: Moments | None = None,
    new_items: float = 0.0,
    from_slates: Callable[[float], SlateEvents] | None = None,
) -> Split:
    """Split `log` by a protocol; DatasetError where it is too small, all of one moment, or not what `moments` say.

    moments: the times of the cuts; by default the shares of `config`. new_items: share of the ranked items whose events
    are hidden from the models, for a log whose test has few new items by itself. from_slates: as in `cut_in_time`.
    """
    check_protocol(protocol)
    if len(log) < MINIMUM_EVENTS:
        raise DatasetError(
            f"The log has {len(log)} good interactions; training needs at least {MINIMUM_EVENTS}, "
            "so that the newest tenth can test what the rest taught."
        )
    if protocol == "loo":
        log = log.without_revoked()
        cut = leave_one_out(log, config.test_queries)
    else:
        cut = cut_in_time(log, config, protocol, moments or Moments(), from_slates)
    if not log.targets[cut.test].any():
        raise DatasetError(
            f"The test window holds no event of a target type ({', '.join(log.catalogue.spec.events.targets)}). Name "
            "a type that happens more often as target in [events], or begin the test earlier (test_from)."
        )
    hidden = hidden_items(log, new_items)
    visible = ~np.isin(log.items, hidden)
    known = cut.model_events & visible
    labels = np.searchsorted(np.flatnonzero(known), cut.labels[visible[cut.labels]])
    return Split(protocol, log, cut.tower_events & visible, known, labels, cut.test, cut.warnings, hidden)


def _part(log: Log, events: Bool) -> Log:
    """The events of a mask; a view where they are the log's first."""
    count = int(events.sum())
    return log[:count] if events[:count].all() else log[events]
