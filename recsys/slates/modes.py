"""The mode of an answer: the user's precomputed list (batch), that list ranked now (hybrid), or all new (realtime).

Mode auto is the cheapest of these that takes all events of the user into account. A list is made without the request's
filter: if fewer than k items of the list pass the filter, the answer is computed. Items that the request names are
ranked like a list.
"""

from __future__ import annotations

from recsys.lists.user_list import digest
from recsys.slates.fallbacks import listed
from recsys.slates.query import Query
from recsys.slates.slate_filters import allowed
from recsys.types import Mode

FEW_EVENTS = 3
"""Events since a list was made, up to which the list is ranked again. After more events it lacks relevant items."""


def choose(query: Query) -> Mode:
    """batch, hybrid or realtime; hybrid only if there is a list whose items pass the filter."""
    if query.given is not None:
        return Mode.HYBRID
    mode = _by_list(query)
    return Mode.REALTIME if mode != Mode.REALTIME and query.filter and _allowed_items(query) < query.k else mode


def _allowed_items(query: Query) -> int:
    """Number of the list's items that may be shown."""
    return int(allowed(query, listed(query)[0]).sum())


def _by_list(query: Query) -> Mode:
    if query.mode == Mode.BATCH:
        return Mode.BATCH
    if query.mode == Mode.HYBRID:
        return Mode.HYBRID if len(listed(query)[0]) else Mode.REALTIME
    if query.mode == Mode.REALTIME or query.listed is None or not len(query.listed.items):
        return Mode.REALTIME
    age, since = query.now - query.listed.made_at, _events_since(query)
    if not since and not query.context.any() and age <= query.list_fresh:
        return Mode.BATCH
    return Mode.HYBRID if since <= FEW_EVENTS and age <= query.list_usable else Mode.REALTIME


def _events_since(query: Query) -> int:
    """Number of events after the list was made; a late event may have an earlier time than the list."""
    assert query.listed is not None
    session = len(query.session)
    if digest(query.events) == query.listed.events:
        return session
    return session + max(1, sum(event.timestamp > query.listed.made_at for event in query.events))
