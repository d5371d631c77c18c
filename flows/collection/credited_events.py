"""Credit each event to one slate (a list of recommended items): the newest one of the user before the event with its
item.

The user may have seen an item in several slates. A slate that still waits in the store takes events away from the older
slates that `flows drain` writes.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from flows.orchestration import store_step
from recsys.lists.impression import Impression
from recsys.model.features import FEATURES
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.store.stored_types import LoggedImpression, place_of
from recsys.types import Event
from training.encode.slate_events import in_time

AT_ONCE = 2_000
"""Slates that are read together: 10 MB."""

CreditedTypes = Mapping[str, Mapping[str, list[str]]]
"""The types of the events that are credited to a slate, each type once: by the slate's entry and by item."""


class StoredSlate(NamedTuple):
    """A slate without its features. entry: its name in the stream of the store. time: unix seconds."""

    entry: str
    time: float
    items: Sequence[str]


class StoredSlates:
    """All slates of a store by user, without their features.

    It is no collection: before each step Prefect visits every element of the collections among the arguments, which
    took 7 s of CPU with 20,000 slates of 20 items.
    """

    def __init__(self) -> None:
        self._of_user: dict[str, list[StoredSlate]] = defaultdict(list)

    def add(self, entry: str, shown: Impression) -> None:
        """Slates are added in the order of the stream."""
        self._of_user[str(shown.user_id)].append(_stored(entry, shown))

    def after(self, entry: str, users: Iterable[str]) -> dict[str, list[StoredSlate]]:
        """The slates of some users behind an entry of the stream, by user."""
        place = place_of(entry)
        return {user: [each for each in self._of_user.get(user, ()) if place_of(each.entry) > place] for user in users}


def read_slate(logged: LoggedImpression) -> Impression | None:
    """The slate of an entry; None if the entry is damaged, has no items, or has text that no file can hold.

    A slate with another number of features than this code's ranker loses its features (NaN). The user is that of the
    entry: slates of a visitor become the login's. Such a slate takes part in no experiment, because its arm is that of
    the visitor's id, and its history is not the login's in the store.
    """
    try:
        shown = Impression.unpack(logged.data)
        for text in (logged.user, *shown.items):
            str(text).encode()
    except ValueError:
        return None
    if not shown.items:
        return None
    if logged.user != str(shown.user_id):
        shown = replace(shown, user_id=logged.user, assigned={}, from_store=False)
    if shown.features.shape[1] == len(FEATURES) + len(shown.own_features):
        return shown
    return replace(shown, features=np.full((len(shown.items), len(FEATURES)), np.nan, np.float32), own_features=())


@store_step
def read_stored_slates(store: RedisFlowStore) -> StoredSlates:
    """All slates in the store. A run reads them once; one of 20 items takes 470 bytes of memory and 72 us of CPU."""
    found, after = StoredSlates(), ""
    while True:
        logged = store.read_impressions(after, AT_ONCE)
        for each in logged:
            if (shown := read_slate(each)) is not None:
                found.add(each.entry, shown)
        if len(logged) < AT_ONCE:
            return found
        after = logged[-1].entry


def credited_events(
    shown: Mapping[str, Impression],
    later: Mapping[str, Sequence[StoredSlate]],
    events: Mapping[str, Sequence[Event]],
    wait: float,
) -> CreditedTypes:
    """Credit the events of users to their slates, by entry. events: each user's, oldest first.

    later: slates that are written after `shown`, by user. They count as newer than `shown`, also if a gateway logged
    them late: when they are written, no slate of `shown` is in the store.
    """
    slates: dict[str, list[StoredSlate]] = defaultdict(list)
    for entry, slate in shown.items():
        slates[str(slate.user_id)].append(_stored(entry, slate))
    credited: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for user, of_user in slates.items():
        oldest_first = sorted(of_user, key=lambda each: each.time)
        for event in events[user]:
            item, possible = str(event.item_id), [each for each in oldest_first if _may_credit(each, event, wait)]
            if not possible or any(_may_credit(each, event, wait) for each in later.get(user, ())):
                continue
            types = credited[possible[-1].entry][item]
            if event.event_type not in types:
                types.append(event.event_type)
    return credited


def _may_credit(slate: StoredSlate, event: Event, wait: float) -> bool:
    """Whether a slate has the item of an event, and was shown at most `wait` seconds before the event."""
    return str(event.item_id) in slate.items and bool(in_time(event.timestamp, slate.time, slate.time + wait))


def _stored(entry: str, shown: Impression) -> StoredSlate:
    # One text for all slates with the item.
    return StoredSlate(entry, shown.time, tuple(sys.intern(str(item)) for item in shown.items))
