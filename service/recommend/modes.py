"""How a slate is made where the request leaves it open: by the cheapest way that knows all that the user did.

A list was made without the request's filter. Where fewer of its items pass than are asked for, whatever the mode, it is
no list: everything is computed, of what the filter leaves.
"""

from __future__ import annotations

from recsys.user_list import digest
from service.recommend.fallbacks import listed
from service.recommend.filters import allowed
from service.recommend.query import Query
from service.schema import Mode
from service.settings import Settings

FEW_EVENTS = 3
"""Events since a list was made that ranking it anew makes up for; after more, other items belong in it."""


def choose(query: Query, settings: Settings) -> Mode:
    """batch, hybrid or realtime; hybrid only where there is a list to start from, and no list that a filter empties."""
    mode = _chosen(query, settings)
    return Mode.REALTIME if mode != Mode.REALTIME and query.filter and _left(query) < query.k else mode


def _left(query: Query) -> int:
    """How many of the list's items may be shown."""
    return int(allowed(query, listed(query)[0]).sum())


def _chosen(query: Query, settings: Settings) -> Mode:
    if query.mode == Mode.BATCH:
        return Mode.BATCH
    if query.mode == Mode.HYBRID:
        return Mode.HYBRID if len(listed(query)[0]) else Mode.REALTIME
    if query.mode == Mode.REALTIME or query.listed is None or not len(query.listed.items):
        return Mode.REALTIME
    age, since = query.now - query.listed.made_at, _since(query)
    if not since and not query.context.any() and age <= settings.list_fresh_seconds:
        return Mode.BATCH
    return Mode.HYBRID if since <= FEW_EVENTS and age <= settings.list_usable_seconds else Mode.REALTIME


def _since(query: Query) -> int:
    """How much the user did that the list does not know of; an event may come late, with a time before the list's."""
    assert query.listed is not None
    session = len(query.session)
    if digest(query.events) == query.listed.events:
        return session
    return session + max(1, sum(event.timestamp > query.listed.made_at for event in query.events))
