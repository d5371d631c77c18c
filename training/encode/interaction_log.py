"""The interactions log (which user did what with which item, and when) as arrays in order of time, and users' histories
and records from it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys.kernels import time_features
from recsys.kernels.recent_events import RecentEvents, item_events
from recsys.lists.user_record import UserRecord
from recsys.model.event_types import SeenRule, not_revoked
from recsys.model.history import first_occurrences
from recsys.types import CLOCK, CONTEXTS, F32, F64, HISTORY_LENGTH, I32, I64, PAD, U8, Bool, Histories
from training.encode.catalogue import (
    Catalogue,
    context_rows,
    event_weights,
    ids_of_one_type,
    mean_of_one,
    rows_by_frequency,
)
from training.read.dataset import Dataset

DAY = 86_400.0

SESSION_GAP = 1_800.0
"""Seconds without an event that end a session: the half hour that web analytics use."""


@dataclass(frozen=True)
class Log:
    """E events of users with items, in order of time.

    users: [E] int32 rows of `user_ids`. items: [E] int32 rows of the catalogue. times: [E] float64 unix seconds.
    types: [E] uint8 rows of the spec's event types. contexts: [E, C] uint8 rows of C context columns, 0 for an unknown
    value. weights: [E] float32, 0 for an event of a negative type, 1 on average over the others. exclude_seen: which
    past items of a user are left out of slates.
    assumptions: a sentence for each thing that the dataset leaves open.
    """

    users: I32
    items: I32
    times: F64
    types: U8
    contexts: U8
    weights: F32
    user_ids: npt.NDArray[np.object_]
    catalogue: Catalogue
    exclude_seen: SeenRule = field(default_factory=SeenRule)
    assumptions: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def digest(self) -> str:
        """A hash of what a training reads of the log."""
        catalogue, digest = self.catalogue, hashlib.sha256()
        events = self.users, self.items, self.times, self.types, self.contexts, self.weights
        for array in (*events, catalogue.content, catalogue.numbers, catalogue.available):
            digest.update(np.ascontiguousarray(array).data)
        digest.update(repr((self.exclude_seen, *catalogue.ids, *catalogue.titles)).encode())
        digest.update(catalogue.spec.to_json().encode())
        return digest.hexdigest()

    @property
    def end(self) -> float:
        """Time of the newest event."""
        return float(self.times[-1])

    def before(self, moment: float) -> Log:
        """The events before `moment`. Users and items keep their rows."""
        return self[: int(np.searchsorted(self.times, moment))]

    def __getitem__(self, events: slice | I64 | Bool) -> Log:
        """Some events, in order of time: a slice, ascending positions or a mask."""
        columns = ("users", "items", "times", "types", "contexts", "weights")
        return replace(self, **{name: getattr(self, name)[events] for name in columns})

    @cached_property
    def not_revoked(self) -> Bool:
        """Which events are positive and not revoked by a later negative event of their user and item: [E] bool."""
        negative = self.catalogue.spec.negative_types
        if negative is None:
            return np.ones(len(self), bool)
        pairs = self.users.astype(np.int64) * len(self.catalogue) + self.items
        places = np.arange(len(self))
        revoked_at = pd.Series(np.where(negative[self.types], places, -1)).groupby(pairs).transform("max")
        kept: Bool = places > revoked_at.to_numpy()
        return kept

    def without_revoked(self) -> Log:
        """The log without negative events and without the events that they revoke."""
        return self if self.not_revoked.all() else self[self.not_revoked]

    @cached_property
    def first_touch(self) -> I64:
        """The first event of the user's session with the item of each event: [E] positions.

        A query is made before this event: after a view of an item, a purchase of the item is easy to predict. In a log
        of one event type each event is its own first touch.
        """
        if len(self.catalogue.spec.event_types) < 2 or not len(self):
            return np.arange(len(self))
        order, _ = self.by_user
        starts = np.diff(self.users[order], prepend=-1) != 0
        starts |= np.diff(self.times[order], prepend=-np.inf) > SESSION_GAP
        visit = np.cumsum(starts) * np.int64(len(self.catalogue)) + self.items[order]
        touch = np.empty(len(self), np.int64)
        touch[order] = pd.Series(order).groupby(visit).transform("first")
        return touch

    @cached_property
    def grades(self) -> F32:
        """The weight of each event as a training target: [E] float32.

        The first touch of an item in a session has the largest weight of the session's events with the item; the other
        events have 0.
        """
        grades = np.zeros(len(self), np.float32)
        np.maximum.at(grades, self.first_touch, self.weights)
        return grades

    @property
    def targets(self) -> Bool:
        """Which events are of a target type: [E] bool."""
        spec = self.catalogue.spec
        return np.array([spec.events.is_target(name) for name in spec.event_types] or [True])[self.types]

    @cached_property
    def by_user(self) -> tuple[I64, I64]:
        """Events sorted by user, then by time: (event positions [E], offsets of users [U + 1])."""
        order = np.argsort(self.users, kind="stable")
        offsets = np.searchsorted(self.users[order], np.arange(len(self.user_ids) + 1))
        return order, offsets

    @cached_property
    def _position(self) -> I64:
        """The position of each event in the order of `by_user`."""
        order, _ = self.by_user
        place = np.empty(len(self), np.int64)
        place[order] = np.arange(len(self))
        return place

    @cached_property
    def recent_events(self) -> RecentEvents:
        """The events that the ranker's features count, by the rows of the catalogue."""
        return self.events_by(np.arange(len(self.catalogue), dtype=np.int32), len(self.catalogue))

    def events_by(self, rows: I32, n: int) -> RecentEvents:
        """The events that the ranker's features count: all but negative ones, revoked or not, as the store counts.

        rows: among n, of each item of the catalogue; PAD for an item that is left out.
        """
        items, negative = rows[self.items], self.catalogue.spec.negative_types
        counted = items != PAD if negative is None else (items != PAD) & ~negative[self.types]
        items, minutes = items[counted], self.times[counted] // 60
        events = item_events(items, minutes, np.ones(len(items), np.int64), n)
        return RecentEvents(events, events)

    def histories(self, events: I64, length: int = HISTORY_LENGTH) -> Histories:
        """The history of each event's user before the event, with the event's context."""
        _, offsets = self.by_user
        past = self._histories(self._position[events], offsets[self.users[events]], length, self.times[events])
        return replace(past, context=self.context_of(events))

    def final_histories(self, users: I64, length: int = HISTORY_LENGTH) -> Histories:
        """The history of each of `users` at the log's end, without a context."""
        _, offsets = self.by_user
        return self._histories(offsets[users + 1], offsets[users], length, np.full(len(users), self.end))

    def _histories(self, ends: I64, starts: I64, length: int, now: F64) -> Histories:
        past, negative = self.last_histories(ends, starts, length, now), self.catalogue.spec.negative_types
        return past if negative is None else past.only(not_revoked(past.items, past.types, negative))

    def context_of(self, events: I64) -> U8:
        """The context of events as `Histories` has it: [..., CLOCK + CONTEXTS] uint8."""
        context = np.zeros((*events.shape, CLOCK + CONTEXTS), np.uint8)
        context[..., :CLOCK] = time_features.clock(self.times[events])
        context[..., CLOCK : CLOCK + self.contexts.shape[1]] = self.contexts[events]
        return context

    def seen_before(self, events: I64) -> tuple[I64, I64]:
        """The items that `exclude_seen` hides from each event's user at the event: (places in `events`, item rows)."""
        _, offsets = self.by_user
        return self._hidden_items(offsets[self.users[events]], self._position[events], self.times[events])

    def seen_by(self, users: I64) -> tuple[I64, I64]:
        """The items that `exclude_seen` hides from each user at the log's end: (places in `users`, item rows)."""
        _, offsets = self.by_user
        return self._hidden_items(offsets[users], offsets[users + 1], np.full(len(users), self.end))

    @cached_property
    def hidden_until(self) -> F64:
        """Until when each event hides its item from its user, unix seconds: [E]."""
        spec = self.catalogue.spec
        return self.exclude_seen.until(self.types, self.times, self.exclude_seen.mask(spec.event_types, spec.events))

    def _hidden_items(self, starts: I64, ends: I64, moments: F64) -> tuple[I64, I64]:
        """The items of spans in the order of `by_user` that are hidden at the span's moment: (spans, item rows)."""
        order, _ = self.by_user
        count = ends - starts
        owner = np.repeat(np.arange(len(starts)), count)
        step = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        events = order[starts[owner] + step]
        hidden = self.hidden_until[events] > moments[owner]
        return owner[hidden], self.items[events[hidden]].astype(np.int64)

    def last_histories(self, ends: I64, starts: I64, length: int, now: F64 | None = None) -> Histories:
        """Histories of the last `length` events before `ends` in the order of `by_user`, none before `starts`.

        now: the time of each query, by default that of its newest event.
        """
        events, real = self.last_events(ends, starts, length)
        if now is None:
            now = self.times[self.by_user[0][ends - 1]]
        histories = Histories.empty(now, length)
        histories.items[real] = self.items[events[real]]
        histories.times[real] = self.times[events[real]]
        histories.types[real] = self.types[events[real]]
        return histories

    def last_events(self, ends: I64, starts: I64, length: int) -> tuple[I64, Bool]:
        """The last `length` events before `ends` in the order of `by_user`: positions, and which are real, [B, length].

        Places before `starts` are padding, which is not real.
        """
        order, _ = self.by_user
        at = ends[:, None] + np.arange(-length, 0)
        real = at >= starts[:, None]
        return order[np.where(real, at, 0)] if len(order) else np.zeros(at.shape, np.int64), real


def encode(dataset: Dataset) -> Log:
    """The log and the catalogue of a dataset: each event once, and no event of an ignored type."""
    frame = dataset.interactions
    ignored = [name for name in frame["event_type"].unique() if dataset.events.ignores(str(name))]
    if ignored:
        frame = frame[~frame["event_type"].isin(ignored)].reset_index(drop=True)
        dataset = replace(dataset, interactions=frame)
    users, user_ids = pd.factorize(frame["user_id"])
    acted, acted_ids = pd.factorize(frame["item_id"])
    known, named = ids_of_one_type(dataset.items["item_id"], pd.Series(acted_ids))
    ids = known.append(named.difference(known, sort=False))
    types, event_types = rows_by_frequency(frame["event_type"])
    # The mapping may name refunds before the log has one: /events then accepts them.
    event_types = tuple(dict.fromkeys((*event_types, *dataset.events.negative)))[:255]
    contexts, columns = context_rows(dataset)
    log = Log(
        users=users.astype(np.int32),
        items=ids.get_indexer(named).astype(np.int32)[acted],
        times=frame["timestamp"].to_numpy(np.float64),
        types=types,
        contexts=contexts,
        weights=event_weights(frame, types, event_types, dataset),
        user_ids=np.asarray(user_ids, object),
        catalogue=Catalogue.of(dataset, np.asarray(ids, object), event_types, columns),
        exclude_seen=dataset.exclude_seen,
        assumptions=dataset.notes.assumptions,
    )
    return _each_event_once(log)


def _each_event_once(log: Log) -> Log:
    """The log without repeated events (`history.first_occurrences`). Their weights are added to the first event."""
    first = first_occurrences(log.items, log.times, log.types, log.users)
    once = first == np.arange(len(log))
    if once.all():
        return log
    weights = np.bincount(first, log.weights, len(log))[once]
    return replace(log[once], weights=mean_of_one(weights))


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
