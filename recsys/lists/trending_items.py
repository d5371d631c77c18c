"""Trending items: those with the most events of several users in the last 24 hours, where recent events count more.

The weight of an event halves every 6 hours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from recsys.model.feature_spec import FeatureSpec
from recsys.types import Event, Id

WINDOW_SECONDS, HALF_LIFE_SECONDS = 86_400.0, 6 * 3_600.0
LEAST_USERS = 2
"""Users that a trending item needs: repeats of one user are no trend."""

COUNT = 64
"""Trending items, at most."""

_NEVER = float("-inf")


def trending_items(events: Iterable[Event], now: float, spec: FeatureSpec) -> tuple[tuple[Id, float], ...]:
    """The items with the largest sums of decayed event weights, the largest first, each with its sum.

    A user counts once for an item, with the largest weight. A negative event revokes the user's earlier events with
    its item. Events of ignored and unknown types do not count.
    """
    newest: dict[tuple[str, str], dict[float, float]] = defaultdict(dict)
    ids: dict[str, Id] = {}
    for event in events:
        if now - WINDOW_SECONDS <= event.timestamp <= now and spec.type_row(event.event_type) is not None:
            text = str(event.item_id)
            times, weight = newest[text, str(event.user_id)], spec.events.weight(event.event_type)
            times[weight] = max(event.timestamp, times.get(weight, _NEVER))
            ids.setdefault(text, event.item_id)
    worths: dict[str, list[float]] = defaultdict(list)
    for (text, _), times in newest.items():
        revoked = times.pop(0.0, _NEVER)
        worth = [weight * 0.5 ** ((now - at) / HALF_LIFE_SECONDS) for weight, at in times.items() if at > revoked]
        if worth:
            worths[text].append(max(worth))
    totals = {text: sum(of_users) for text, of_users in worths.items() if len(of_users) >= LEAST_USERS}
    best = sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))[:COUNT]
    return tuple((ids[text], round(weight, 6)) for text, weight in best)
