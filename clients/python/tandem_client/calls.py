"""What a client can ask, each verb once; how it is sent is the transports' business."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import uuid4

from pydantic import BaseModel, ValidationError

from service import schema
from service.schema import verbs
from service.schema.verbs import Verb
from service.schema.verdict import error_body, query_error
from tandem_client.errors import RequestRefused

A = TypeVar("A", bound=BaseModel)

Id = int | str
Told = Mapping[str, object]
"""An event or an item as a dictionary."""


@dataclass(frozen=True)
class Call(Generic[A]):
    """One question. values: the request as JSON has it. deadline: seconds for all tries, None for the client's own.

    Every verb may be sent again after a failure and counts once, events because each has an id.
    """

    verb: Verb[Any, A]
    values: dict[str, Any]
    deadline: float | None


def recommend(
    user_id: Id,
    *,
    k: int | None = None,
    session: Sequence[schema.SessionEvent | Told] | None = None,
    exclude: Sequence[Id] | None = None,
    context: Mapping[str, str] | None = None,
    filter: Mapping[str, Sequence[str]] | None = None,
    mode: str | None = None,
    deadline: float | None = None,
) -> Call[schema.RecommendResponse]:
    """A slate for one user."""
    wish = {"k": k, "session": session, "exclude": exclude, "context": context, "filter": filter, "mode": mode}
    return _call(verbs.RECOMMEND, deadline, user_id=user_id, **wish)


def recommend_many(
    user_ids: Sequence[Id],
    *,
    k: int | None = None,
    exclude: Sequence[Id] | None = None,
    context: Mapping[str, str] | None = None,
    filter: Mapping[str, Sequence[str]] | None = None,
    mode: str | None = None,
    deadline: float | None = None,
) -> Call[schema.SlatesResponse]:
    """A slate for each of several users, in their order."""
    wish = {"k": k, "exclude": exclude, "context": context, "filter": filter, "mode": mode}
    return _call(verbs.RECOMMEND_MANY, deadline, user_ids=user_ids, **wish)


def similar(
    item_id: Id,
    *,
    user_id: Id | None = None,
    k: int | None = None,
    exclude: Sequence[Id] | None = None,
    filter: Mapping[str, Sequence[str]] | None = None,
    deadline: float | None = None,
) -> Call[schema.SimilarResponse]:
    """The items most like one."""
    return _call(verbs.SIMILAR, deadline, item_id=item_id, user_id=user_id, k=k, exclude=exclude, filter=filter)


def explain(
    user_id: Id,
    item_id: Id,
    *,
    k: int | None = None,
    session: Sequence[schema.SessionEvent | Told] | None = None,
    exclude: Sequence[Id] | None = None,
    context: Mapping[str, str] | None = None,
    filter: Mapping[str, Sequence[str]] | None = None,
    mode: str | None = None,
    deadline: float | None = None,
) -> Call[schema.ExplainResponse]:
    """Why an item stands where it does in the slate that `recommend` gives for the same wish, or why it does not."""
    wish = {"k": k, "session": session, "exclude": exclude, "context": context, "filter": filter, "mode": mode}
    return _call(verbs.EXPLAIN, deadline, user_id=user_id, item_id=item_id, **wish)


def add_events(events: Iterable[schema.Event | Told], *, deadline: float | None = None) -> Call[schema.EventsResponse]:
    """Store what users did; `stored` counts what this try stored, where an earlier one got through unseen."""
    return _call(verbs.EVENTS, deadline, events=[_named(event) for event in events])


def put_items(items: Iterable[schema.Item | Told], *, deadline: float | None = None) -> Call[schema.ItemsResponse]:
    """Put items that can be recommended, or hidden, at once."""
    return _call(verbs.ITEMS, deadline, items=list(items))


def user(user_id: Id, *, deadline: float | None = None) -> Call[schema.UserResponse]:
    """What is stored of a user."""
    return _call(verbs.USER, deadline, user_id=user_id)


def forget(user_id: Id, *, deadline: float | None = None) -> Call[schema.ForgottenResponse]:
    """Delete all that is stored of a user."""
    return _call(verbs.FORGET, deadline, user_id=user_id)


def status(*, deadline: float | None = None) -> Call[schema.StatusResponse]:
    """What is live, and how the process that answers is."""
    return _call(verbs.STATUS, deadline)


def _call(verb: Verb[Any, A], deadline: float | None, **told: object) -> Call[A]:
    """The call, validated as the service would: what is wrong is known without a round trip, in the same words."""
    given = {name: value for name, value in told.items() if value is not None}
    try:
        request = verb.takes.model_validate(given)
    except ValidationError as error:
        raise RequestRefused(error_body(query_error(error))) from error
    return Call(verb, request.model_dump(mode="json", exclude_unset=True), deadline)


def _named(event: schema.Event | Told) -> object:
    """The event with an id, so that it counts once however often it is sent."""
    told = event.model_dump(exclude_unset=True) if isinstance(event, schema.Event) else event
    if not isinstance(told, Mapping):
        return told  # what it is instead, validation says
    return {**told, "event_id": uuid4().hex if told.get("event_id") is None else told["event_id"]}
