"""The verbs: one function for each. `client` sends what they return, over a transport."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Generic, TypeVar
from uuid import uuid4

from pydantic import BaseModel

from tandem_client import answers
from tandem_client.answers import ErrorBody
from tandem_client.errors import RequestRefused
from tandem_client.requests import Event, Item, SessionEvent

A = TypeVar("A", bound=BaseModel)

Id = int | str
Values = Mapping[str, object]
"""An event or an item as a dictionary."""


Filter = Mapping[str, Sequence[str | float] | Mapping[str, float] | bool]
"""A condition for each column: one of several values, a range such as `{"gte": 5, "lt": 20}`, or a truth."""


@dataclass(frozen=True)
class Verb(Generic[A]):
    """rpc: the method of tandem.v1.Recommender. method, path: of the HTTP request. gives: the model of the answer."""

    rpc: str
    method: str
    path: str
    gives: type[A]


RECOMMEND = Verb("Recommend", "POST", "/recommend", answers.RecommendResponse)
RECOMMEND_MANY = Verb("Recommend", "POST", "/recommend", answers.SlatesResponse)
SIMILAR = Verb("Similar", "POST", "/similar", answers.SimilarResponse)
EXPLAIN = Verb("Explain", "POST", "/explain", answers.ExplainResponse)
EVENTS = Verb("AddEvents", "POST", "/events", answers.EventsResponse)
ITEMS = Verb("PutItems", "PUT", "/items", answers.ItemsResponse)
ITEM = Verb("GetItem", "GET", "/items/{item_id}", answers.ItemResponse)
FORGET_ITEM = Verb("ForgetItem", "DELETE", "/items/{item_id}", answers.ForgottenItemResponse)
USER = Verb("GetUser", "GET", "/users/{user_id}", answers.UserResponse)
FORGET = Verb("ForgetUser", "DELETE", "/users/{user_id}", answers.ForgottenResponse)
MERGE = Verb("MergeUser", "POST", "/users/{user_id}/merge", answers.MergedResponse)
STATUS = Verb("Status", "GET", "/status", answers.StatusResponse)


@dataclass(frozen=True)
class Call(Generic[A]):
    """One request. values: what JSON can carry. deadline: seconds for all tries, None for the client's own.

    Every call may be sent again after a failure. An event that is sent twice counts once, because it has an id.
    """

    verb: Verb[A]
    values: dict[str, Any]
    deadline: float | None


def recommend(
    user_id: Id | None = None,
    *,
    k: int | None = None,
    session: Sequence[SessionEvent | Values] | None = None,
    exclude: Sequence[Id] | None = None,
    context: Mapping[str, str] | None = None,
    filter: Filter | None = None,
    mode: str | None = None,
    log_impression: bool | None = None,
    deadline: float | None = None,
) -> Call[answers.RecommendResponse]:
    """A slate for one user, or for a visitor without an id."""
    wish = {
        "k": k,
        "session": session,
        "exclude": exclude,
        "context": context,
        "filter": filter,
        "mode": mode,
        "log_impression": log_impression,
    }
    return _call(RECOMMEND, deadline, user_id=user_id, **wish)


def recommend_many(
    user_ids: Sequence[Id],
    *,
    k: int | None = None,
    exclude: Sequence[Id] | None = None,
    context: Mapping[str, str] | None = None,
    filter: Filter | None = None,
    mode: str | None = None,
    log_impression: bool | None = None,
    deadline: float | None = None,
) -> Call[answers.SlatesResponse]:
    """A slate for each of several users, in their order."""
    wish = {
        "k": k,
        "exclude": exclude,
        "context": context,
        "filter": filter,
        "mode": mode,
        "log_impression": log_impression,
    }
    return _call(RECOMMEND_MANY, deadline, user_ids=user_ids, **wish)


def similar(
    item_id: Id,
    *,
    user_id: Id | None = None,
    k: int | None = None,
    exclude: Sequence[Id] | None = None,
    filter: Filter | None = None,
    deadline: float | None = None,
) -> Call[answers.SimilarResponse]:
    """The items most like one."""
    return _call(SIMILAR, deadline, item_id=item_id, user_id=user_id, k=k, exclude=exclude, filter=filter)


def explain(
    user_id: Id | None,
    item_id: Id,
    *,
    k: int | None = None,
    session: Sequence[SessionEvent | Values] | None = None,
    exclude: Sequence[Id] | None = None,
    context: Mapping[str, str] | None = None,
    filter: Filter | None = None,
    mode: str | None = None,
    deadline: float | None = None,
) -> Call[answers.ExplainResponse]:
    """Why an item stands where it does in the slate that `recommend` gives for the same wish, or why it does not."""
    wish = {"k": k, "session": session, "exclude": exclude, "context": context, "filter": filter, "mode": mode}
    return _call(EXPLAIN, deadline, user_id=user_id, item_id=item_id, **wish)


def add_events(events: Iterable[Event | Values], *, deadline: float | None = None) -> Call[answers.EventsResponse]:
    """Store what users did; `stored` counts what this try stored, where an earlier one got through unseen."""
    return _call(EVENTS, deadline, events=[_with_id(event) for event in events])


def put_items(items: Iterable[Item | Values], *, deadline: float | None = None) -> Call[answers.ItemsResponse]:
    """Put items that can be recommended, or hidden, at once."""
    return _call(ITEMS, deadline, items=items)


def item(item_id: Id, *, deadline: float | None = None) -> Call[answers.ItemResponse]:
    """What is known of an item; NotFound for an item that neither the live generation nor a put describes."""
    return _call(ITEM, deadline, item_id=item_id)


def forget_item(item_id: Id, *, deadline: float | None = None) -> Call[answers.ForgottenItemResponse]:
    """Drop what was put of an item; NotFound where nothing was put and the live generation does not have the item.

    The second try of a call can raise NotFound too, where the first one deleted the item and its answer was lost.
    """
    return _call(FORGET_ITEM, deadline, item_id=item_id)


def user(user_id: Id, *, deadline: float | None = None) -> Call[answers.UserResponse]:
    """What is stored of a user."""
    return _call(USER, deadline, user_id=user_id)


def forget(user_id: Id, *, deadline: float | None = None) -> Call[answers.ForgottenResponse]:
    """Delete all that is stored of a user."""
    return _call(FORGET, deadline, user_id=user_id)


def merge(user_id: Id, into: Id, *, deadline: float | None = None) -> Call[answers.MergedResponse]:
    """Give the events of a user to another user, such as a login, and forget the first."""
    return _call(MERGE, deadline, user_id=user_id, into=into)


def status(*, deadline: float | None = None) -> Call[answers.StatusResponse]:
    """What is live, and how the process that answers is."""
    return _call(STATUS, deadline)


def _call(verb: Verb[A], deadline: float | None, **given: object) -> Call[A]:
    return Call(verb, {name: _plain(value, name) for name, value in given.items() if value is not None}, deadline)


def _with_id(event: object) -> object:
    """The event with an id, so that it counts once however often it is sent."""
    values = event.model_dump(exclude_unset=True) if isinstance(event, Event) else event
    if not isinstance(values, Mapping) or values.get("event_id") is not None:
        return values
    return {**values, "event_id": uuid4().hex}


def _plain(value: object, place: str) -> Any:
    """The value as JSON has it, numbers of numpy and pandas too; RequestRefused for what JSON does not have.

    Nothing else is checked here: the deployment validates, and its error names the field. place: where the value is.
    """
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_unset=True)
    if isinstance(value, Mapping):
        return {_plain(name, place): _plain(part, f"{place}.{name}") for name, part in value.items()}
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and _is_text(value):
        return str(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real) and math.isfinite(value):
        return float(value)
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_plain(part, f"{place}.{index}") for index, part in enumerate(value)]
    message = f"A value of type {type(value).__name__} can't be sent; send text, a finite number, a list or an object."
    raise RequestRefused(ErrorBody(code="invalid", message=message, field=place))


def _is_text(value: str) -> bool:
    """Whether UTF-8 has all of it: it does not have half of a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
