"""What is trending: items that several users turned to lately, the later the more. Knows no store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from recsys.model.feature_spec import FeatureSpec
from recsys.types import Event, Id

WINDOW_SECONDS, HALF_LIFE_SECONDS = 86_400.0, 6 * 3_600.0
USERS = 2
"""Of an item, at least: one user's repeats are no trend."""

COUNT = 64

_NEVER = float("-inf")


def trending(events: Iterable[Event], now: float, spec: FeatureSpec) -> tuple[tuple[Id, float], ...]:
    """The items with the largest sum of decayed weights, the largest first.

    Each user counts once for an item, with the event that weighs most. A negative event revokes the user's events with
    its item up to its time. Events of ignored and unknown types are left out.
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
    totals = {text: sum(of_users) for text, of_users in worths.items() if len(of_users) >= USERS}
    best = sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))[:COUNT]
    return tuple((ids[text], round(weight, 6)) for text, weight in best)
