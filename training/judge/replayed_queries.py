"""Queries at moments of a log, each with the events of its user until then or until some time before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recsys.lists.trending_items import WINDOW_SECONDS, trending_items
from recsys.lists.user_record import UserRecord
from recsys.types import (
    CLOCK,
    CONTEXTS,
    EXTRA,
    F64,
    I32,
    I64,
    U8,
    Bool,
    Event,
    Id,
)
from training.encode.interaction_log import Log, user_record


@dataclass(frozen=True)
class ReplayedQueries:
    """Q queries. at: [Q] positions in the log; a query knows the events before its position. targets: [Q] the items
    that the users took next.
    """

    log: Log
    at: I64
    targets: I32
    segments: dict[str, Bool]

    def __len__(self) -> int:
        return len(self.at)

    @cached_property
    def users(self) -> I32:
        """The user of each query: [Q] rows of `log.user_ids`."""
        return self.log.users[self.at]

    @cached_property
    def times(self) -> F64:
        """The time of each query: [Q] unix seconds."""
        return self.log.times[self.at]

    @cached_property
    def contexts(self) -> U8:
        """The context of each query as `Query.context` has it: [Q, CONTEXTS]."""
        return np.ascontiguousarray(self.log.context_of(self.at)[:, CLOCK : CLOCK + CONTEXTS])

    def user_id(self, query: int) -> Id:
        """The id of a query's user."""
        found: Id = self.log.user_ids[self.users[query]]
        return found

    def take(self, chosen: I64) -> ReplayedQueries:
        """Some of the queries."""
        segments = {name: mask[chosen] for name, mask in self.segments.items()}
        return ReplayedQueries(self.log, self.at[chosen], self.targets[chosen], segments)

    def moments(self, age: float) -> F64:
        """The last time before each query at which a part is made that is made every `age` seconds: [Q]."""
        return np.floor(self.times / age) * age if age else self.times

    def known(self, age: float) -> I64:
        """The number of each user's events that precede the query, and the moment of `moments`: [Q]."""
        order, offsets = self.log.by_user
        ends, moments = self.ends, self.moments(age)
        starts = offsets[self.users]
        if not age:
            return ends - starts
        return np.array(
            [
                np.searchsorted(self.log.times[order[start:end]], moment)
                for start, end, moment in zip(starts, ends, moments, strict=True)
            ],
            np.int64,
        )

    @cached_property
    def ends(self) -> I64:
        """The place of each query in the order of `Log.by_user`."""
        order, _ = self.log.by_user
        place = np.empty(len(self.log), np.int64)
        place[order] = np.arange(len(self.log))
        return place[self.at]

    def record(self, query: int, count: int) -> UserRecord:
        """The record of a query's user after the user's first `count` events."""
        order, offsets = self.log.by_user
        start = offsets[self.users[query]]
        return user_record(self.log, order[start : start + count])


class Trends:
    """The trending items of a log at any moment, as the flows compute them from the events of the last day."""

    def __init__(self, log: Log, first: float) -> None:
        """first: the earliest moment."""
        self._start = int(np.searchsorted(log.times, first - WINDOW_SECONDS))
        self._log, self._row_of = log, {str(name): row for row, name in enumerate(log.catalogue.ids)}
        types = log.catalogue.spec.event_types
        self._events = [
            Event(log.user_ids[user], log.catalogue.ids[item], float(time), types[kind])
            for user, item, time, kind in zip(*self._columns(), strict=True)
        ]
        self._found: dict[tuple[int, float], tuple[int, ...]] = {}

    def _columns(self) -> Sequence[np.ndarray]:
        log = self._log
        return [each[self._start :] for each in (log.users, log.items, log.times, log.types)]

    def rows(self, before: int, moment: float) -> tuple[int, ...]:
        """The items that are trending at a moment, by the events before a position of the log."""
        if (before, moment) not in self._found:
            first = int(np.searchsorted(self._log.times, moment - WINDOW_SECONDS))
            some = self._events[max(first - self._start, 0) : max(before - self._start, 0)]
            found = trending_items(some, moment, self._log.catalogue.spec)
            self._found[before, moment] = tuple(self._row_of[str(name)] for name, _ in found[:EXTRA])
        return self._found[before, moment]

    def of(self, queries: ReplayedQueries, age: float) -> list[tuple[int, ...]]:
        """The trending items of each query, if they are computed every `age` seconds."""
        moments = queries.moments(age)
        before = np.minimum(np.searchsorted(self._log.times, moments), queries.at) if age else queries.at
        return [self.rows(int(end), float(moment)) for end, moment in zip(before, moments, strict=True)]
