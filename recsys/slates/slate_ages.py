"""The freshness of a finished query: which of model, list, trending items and events its slate was made from."""

from __future__ import annotations

from recsys.slates.fallbacks import listed
from recsys.slates.freshness import Freshness
from recsys.slates.query import Degraded, Query
from recsys.types import Mode


def slate_freshness(query: Query, now: float) -> Freshness:
    """The freshness of a user's slate. now: unix seconds.

    A slate that is the user's list takes no event into account that came after the list was made. Popular items and
    the order of the request take none at all.
    """
    list_made = _list_made(query)
    is_computed = query.made_by != Mode.BATCH and Degraded.RETRIEVAL not in query.degraded
    times = query.history[1]
    if not is_computed:
        times = times[times <= list_made] if list_made is not None else times[:0]
    has_trending = is_computed and any(row in query.extra for row in query.items.tolist())
    return Freshness(
        model=_age(query.generation.manifest.created, now),
        list=None if list_made is None else _age(list_made, now),
        trending=_age(query.extra_made, now) if has_trending else None,
        event=_age(float(times.max()), now) if len(times) else None,
    )


def similar_freshness(query: Query, list_made: float | None, now: float) -> Freshness:
    """The freshness of items similar to an item. list_made: of the item's list, None if retrieval found the items."""
    model = _age(query.generation.manifest.created, now)
    return Freshness(model, None if list_made is None else _age(list_made, now))


def _list_made(query: Query) -> float | None:
    """When the list was made that the slate was made from, unix seconds; None without a list."""
    is_from_list = query.made_by != Mode.REALTIME or Degraded.RETRIEVAL in query.degraded
    if query.given is not None or not is_from_list or not len(listed(query)[0]):
        return None
    if query.listed is not None and len(query.listed.items):
        return query.listed.made_at
    return query.generation.manifest.created  # the publisher's list


def _age(moment: float, now: float) -> float:
    """Seconds since a moment; 0 for a moment of a clock that is ahead."""
    return max(0.0, now - moment)
