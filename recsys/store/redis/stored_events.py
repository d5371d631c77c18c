"""Encode events and trending items as JSON for Redis, and decode them. Text that can't be read is left out."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from recsys.store.stored_types import Trending
from recsys.types import Event, Id

_NUMBER = re.compile(r"-?[0-9]+")

_NO_USER = '["",'
"""The begin of the JSON of an event without a user."""

_WITHOUT_CONTEXT = 4
"""Values of an event that has no context: user, item, time and type."""


def event_text(event: Event) -> str:
    """The JSON of an event; the context only if there is one."""
    values = [*event[:_WITHOUT_CONTEXT], dict(event.context)] if event.context else event[:_WITHOUT_CONTEXT]
    return json.dumps(values, separators=(",", ":"))


def text_without_user(event: Event) -> str:
    """The JSON of an event behind its user."""
    return event_text(event._replace(user_id="")).removeprefix(_NO_USER)


def event_prefixes(user: Id) -> list[bytes]:
    """The begins of the JSON of a user's events: the id as text and, if it is a number, as a number."""
    text = str(user)
    ids = [json.dumps(text), text] if _NUMBER.fullmatch(text) else [json.dumps(text)]
    return [f"[{id_},".encode() for id_ in ids]


def parse_events(texts: Sequence[bytes] | None) -> list[Event]:
    """The readable ones of stored events."""
    if not texts:
        return []
    try:
        # One call for all: 0.14 ms for 200 events, where a call each takes 0.52 ms.
        raws = json.loads(b"[" + b",".join(texts) + b"]")
    except (ValueError, RecursionError):
        raws = [_loads(text) for text in texts]
    return [event for raw in raws if (event := _event(raw))]


def parse_event(text: bytes | None) -> Event | None:
    """A stored event; None if it can't be read."""
    return _event(_loads(text)) if text else None


def parse_trending(text: bytes) -> Trending | None:
    """Stored trending items; None if they can't be read."""
    try:
        raw = json.loads(text)
        trending = Trending(float(raw["made_at"]), tuple((item, float(weight)) for item, weight in raw["items"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    readable = all(isinstance(item, Id) and math.isfinite(weight) for item, weight in trending.items)
    return trending if readable and math.isfinite(trending.made_at) else None


def _loads(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _event(raw: Any) -> Event | None:
    try:
        user, item, timestamp, event_type = raw[:4]
        readable = isinstance(user, Id) and isinstance(item, Id) and isinstance(event_type, str)
        if not readable or not math.isfinite(timestamp):
            return None
        if len(raw) == _WITHOUT_CONTEXT:
            return Event(user, item, float(timestamp), event_type)
        return Event(user, item, float(timestamp), event_type, context=_context(raw[4]))
    except (TypeError, ValueError, OverflowError):
        return None


def _context(raw: Any) -> dict[str, str]:
    """An event's context; empty if it can't be read."""
    return raw if isinstance(raw, dict) and all(isinstance(value, str) for value in raw.values()) else {}
