"""Keys bound to one tenant: a request may name the users of that tenant alone."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from recsys.errors import QueryError
from recsys.types import Id
from service import schema
from service.auth.guard import caller
from service.auth.keyring import Entry
from service.auth.rate_limits import RateLimits
from service.recommend.query import Query
from service.telemetry import metrics
from service.verbs.recommender import Recommender

USERLESS = frozenset({"due", "forget_item", "full", "item", "put_items", "ready", "status"})
"""Attributes of a recommender that name no user. Any other needs a method below: a new verb without one fails."""


class TenantRecommender:
    """A recommender for the doors that refuses users of other tenants, and names the field in the error."""

    def __init__(self, recommender: Recommender, limits: RateLimits) -> None:
        self._recommender = recommender
        self._limits = limits

    def __getattr__(self, name: str) -> Any:
        if name not in USERLESS:
            raise AttributeError(f"TenantRecommender has no check of users for {name}.")
        return getattr(self._recommender, name)

    def recommend(self, request: schema.RecommendRequest, due: float) -> Awaitable[list[Query]]:
        """As the recommender's. A request for several users counts as one request for each."""
        entry, users = caller.get(), request.user_ids
        if users is None:
            _check(entry, "user_id", request.user_id)
        else:
            for index, user in enumerate(users):
                _check(entry, f"user_ids.{index}", user)
            if entry.interval and len(users) > 1:
                self._limits.charge(entry, len(users) - 1)
        return self._recommender.recommend(request, due)

    def similar(self, request: schema.SimilarRequest, due: float) -> Awaitable[schema.SimilarResponse]:
        """As the recommender's. The user is checked because the items left out show what that user has seen."""
        _check(caller.get(), "user_id", request.user_id)
        return self._recommender.similar(request, due)

    def explain(self, request: schema.ExplainRequest, due: float) -> Awaitable[schema.ExplainResponse]:
        """As the recommender's."""
        _check(caller.get(), "user_id", request.user_id)
        return self._recommender.explain(request, due)

    def add_events(self, events: list[schema.Event]) -> Awaitable[schema.EventsResponse]:
        """As the recommender's. One event of another tenant's user refuses all of them."""
        entry = caller.get()
        if entry.users:
            for index, event in enumerate(events):
                _check(entry, f"events.{index}.user_id", event.user_id)
        return self._recommender.add_events(events)

    def user(self, user_id: Id) -> Awaitable[schema.UserResponse]:
        """As the recommender's."""
        _check(caller.get(), "user_id", user_id)
        return self._recommender.user(user_id)

    def forget(self, user_id: Id) -> Awaitable[schema.ForgottenResponse]:
        """As the recommender's."""
        _check(caller.get(), "user_id", user_id)
        return self._recommender.forget(user_id)

    def merge(self, user_id: Id, into: Id) -> Awaitable[schema.MergedResponse]:
        """As the recommender's. Both users have to be the tenant's."""
        _check(caller.get(), "user_id", user_id)
        _check(caller.get(), "into", into)
        return self._recommender.merge(user_id, into)


def _check(entry: Entry, field: str, user_id: Id | None) -> None:
    if user_id is not None and not entry.covers(user_id):
        metrics.key_refused_total.labels("forbidden", entry.name).inc()
        raise QueryError(f"This key is for users whose ids begin with {entry.users!r}.", field, "forbidden")
