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
from training.data.slate_events import in_time

AT_ONCE = 2_000
"""Slates that are read together: 10 MB."""

Taken = Mapping[str, Mapping[str, list[str]]]
"""The types of the events that are credited to a slate, each type once: by the slate's entry and by item."""


class StoredSlate(NamedTuple):
    """A slate without its features. entry: its name in the stream of the store. time: unix seconds."""

    entry: str
    time: float
    items: Sequence[str]


Slates = Mapping[str, Sequence[StoredSlate]]
"""By user, in the order of the stream."""


def read_slate(logged: LoggedImpression) -> Impression | None:
    """The slate of an entry; None if the entry is damaged, has no items, or has text that no file can hold.

    A slate with another number of features than this code's ranker loses its features (NaN). The user is that of the
    entry: slates of a visitor become the login's. Such a slate takes part in no experiment, because its arm is that of
    the visitor's id.
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
        shown = replace(shown, user_id=logged.user, assigned={})
    if shown.features.shape[1] == len(FEATURES) + len(shown.own_features):
        return shown
    return replace(shown, features=np.full((len(shown.items), len(FEATURES)), np.nan, np.float32), own_features=())


@store_step
def read_stored_slates(store: RedisFlowStore) -> Slates:
    """All slates in the store. A run reads them once; one of 20 items takes 470 bytes of memory and 72 us of CPU."""
    found: dict[str, list[StoredSlate]] = defaultdict(list)
    logged = store.read_impressions(count=AT_ONCE)
    while logged:
        for each in logged:
            if (shown := read_slate(each)) is not None:
                found[each.user].append(_stored(each.entry, shown))
        logged = store.read_impressions(logged[-1].entry, AT_ONCE) if len(logged) == AT_ONCE else []
    return found


def slates_behind(entry: str, stored: Slates, users: Iterable[str]) -> Slates:
    """The slates of some users behind an entry of the stream."""
    place = place_of(entry)
    return {user: [each for each in stored.get(user, ()) if place_of(each.entry) > place] for user in users}


def credited_events(
    shown: Mapping[str, Impression], later: Slates, events: Mapping[str, Sequence[Event]], wait: float
) -> Taken:
    """Credit the events of users to their slates, by entry. events: each user's, oldest first.

    later: slates that are written after `shown`. They count as newer than `shown`, also if a gateway logged them late:
    when they are written, no slate of `shown` is in the store.
    """
    slates: dict[str, list[StoredSlate]] = defaultdict(list)
    for entry, slate in shown.items():
        slates[str(slate.user_id)].append(_stored(entry, slate))
    taken: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for user, of_user in slates.items():
        newest_first = [*later.get(user, ()), *sorted(of_user, key=lambda each: each.time)[::-1]]
        for event in events[user]:
            entry, item = _credited(event, newest_first, wait), str(event.item_id)
            if entry in shown and event.event_type not in taken[entry][item]:
                taken[entry][item].append(event.event_type)
    return taken


def _credited(event: Event, newest_first: Iterable[StoredSlate], wait: float) -> str:
    """The entry of the first slate with the item of an event in time; empty if there is none."""
    item, at = str(event.item_id), event.timestamp
    found = (each for each in newest_first if item in each.items and in_time(at, each.time, each.time + wait))
    return next((each.entry for each in found), "")


def _stored(entry: str, shown: Impression) -> StoredSlate:
    # One text for all slates with the item.
    return StoredSlate(entry, shown.time, [sys.intern(str(item)) for item in shown.items])
