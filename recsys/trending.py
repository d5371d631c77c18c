"""What is trending: items that several users turned to lately, the later the more. Knows no store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from recsys.types import Event, Id

WINDOW_SECONDS, HALF_LIFE_SECONDS = 86_400.0, 6 * 3_600.0
USERS = 2
"""Of an item, at least: one user's repeats are no trend."""

COUNT = 64


def trending(events: Iterable[Event], now: float) -> tuple[tuple[Id, float], ...]:
    """The items with the most decayed events, each user's counted once, the most first."""
    newest: dict[str, dict[str, float]] = defaultdict(dict)
    ids: dict[str, Id] = {}
    for event in events:
        if now - WINDOW_SECONDS <= event.timestamp <= now:
            text = str(event.item_id)
            users, user = newest[text], str(event.user_id)
            users[user] = max(event.timestamp, users.get(user, 0.0))
            ids.setdefault(text, event.item_id)
    weights = {
        text: sum(0.5 ** ((now - moment) / HALF_LIFE_SECONDS) for moment in users.values())
        for text, users in newest.items()
        if len(users) >= USERS
    }
    best = sorted(weights.items(), key=lambda pair: (-pair[1], pair[0]))[:COUNT]
    return tuple((ids[text], round(weight, 6)) for text, weight in best)
