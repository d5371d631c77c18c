"""The check of API keys that are bound to one tenant, such as a shop: a request may name only that tenant's users."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from recsys.errors import QueryError
from recsys.types import Id
from service import schema
from service.auth.key_check import caller
from service.auth.rate_limits import RateLimits
from service.telemetry import metrics

USER_FIELDS = ("user_id", "into")
"""Fields of requests that name one user. `user_ids` and `events` name several."""


class TenantCheck:
    """Refuses a request that names a user of another tenant, and counts a request for several users once for each."""

    def __init__(self, limits: RateLimits) -> None:
        self._limits = limits

    def __call__(self, request: BaseModel) -> None:
        """QueryError names the first field with a user of another tenant."""
        entry = caller.get()
        if entry.users:
            for field, user_id in _users(request):
                if not entry.covers(user_id):
                    metrics.key_refused_total.labels("forbidden", entry.name).inc()
                    raise QueryError(f"This key is for users whose ids begin with {entry.users!r}.", field, "forbidden")
        if entry.interval and (users := getattr(request, "user_ids", None)):
            self._limits.charge(entry, len(users) - 1)


def _users(request: BaseModel) -> Iterator[tuple[str, Id]]:
    """The users that a request names, by field."""
    if isinstance(request, schema.EventsRequest):
        yield from ((f"events.{index}.user_id", event.user_id) for index, event in enumerate(request.events))
    named = ((field, getattr(request, field, None)) for field in USER_FIELDS)
    yield from ((field, user_id) for field, user_id in named if user_id is not None)
    yield from ((f"user_ids.{index}", user) for index, user in enumerate(getattr(request, "user_ids", None) or ()))
