"""Functions that build the client's calls, one for each endpoint of a Tandem server, to send over HTTP or gRPC."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Generic, TypedDict, TypeVar, Unpack
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
    """An endpoint. rpc: its method in tandem.v1.Recommender. method, path: of HTTP. gives: the model of the answer."""

    rpc: str
    method: str
    path: str
    gives: type[A]


RECOMMEND = Verb("Recommend", "POST", "/recommend", answers.RecommendResponse)
RECOMMEND_MANY = Verb("Recommend", "POST", "/recommend", answers.SlatesResponse)
SIMILAR = Verb("Similar", "POST", "/similar", answers.SimilarResponse)
EXPLAIN = Verb("Explain", "POST", "/explain", answers.ExplainResponse)
RANK = Verb("Rank", "POST", "/rank", answers.RankResponse)
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


class _Fields(TypedDict, total=False):
    k: int | None
    exclude: Sequence[Id] | None
    context: Mapping[str, str] | None
    filter: Filter | None
    mode: str | None
    surface: str | None
    arms: Mapping[str, str] | None


class RecommendManyFields(_Fields, total=False):
    """The further fields of a request for the slates of several users; `GET /openapi.json` describes them."""

    log_impression: bool | None


class ExplainFields(_Fields, total=False):
    """The further fields of a request for an explanation."""

    session: Sequence[SessionEvent | Values] | None


class RecommendFields(ExplainFields, RecommendManyFields, total=False):
    """The further fields of a request for a slate."""


class RankFields(TypedDict, total=False):
    """The further fields of a request to order items."""

    user_id: Id | None
    k: int | None
    session: Sequence[SessionEvent | Values] | None
    exclude: Sequence[Id] | None
    context: Mapping[str, str] | None
    filter: Filter | None
    surface: str | None
    arms: Mapping[str, str] | None
    exclude_seen: bool | None


class SimilarFields(TypedDict, total=False):
    """The further fields of a request for similar items."""

    user_id: Id | None
    k: int | None
    exclude: Sequence[Id] | None
    filter: Filter | None
    surface: str | None


def recommend(
    user_id: Id | None = None, *, deadline: float | None = None, **fields: Unpack[RecommendFields]
) -> Call[answers.RecommendResponse]:
    """A slate (the ordered list of recommended items) for one user, or for a visitor without an id.

    fields: k, session, and others of `RecommendFields`.
    """
    return _call(RECOMMEND, deadline, user_id=user_id, **fields)


def recommend_many(
    user_ids: Sequence[Id], *, deadline: float | None = None, **fields: Unpack[RecommendManyFields]
) -> Call[answers.SlatesResponse]:
    """A slate for each of several users, in the order of the users. fields: of `RecommendManyFields`."""
    return _call(RECOMMEND_MANY, deadline, user_ids=user_ids, **fields)


def similar(
    item_id: Id, *, deadline: float | None = None, **fields: Unpack[SimilarFields]
) -> Call[answers.SimilarResponse]:
    """The items most similar to an item. fields: of `SimilarFields`."""
    return _call(SIMILAR, deadline, item_id=item_id, **fields)


def explain(
    user_id: Id | None, item_id: Id, *, deadline: float | None = None, **fields: Unpack[ExplainFields]
) -> Call[answers.ExplainResponse]:
    """Why an item has its place in the slate of `recommend` with the same fields, or why the slate lacks the item."""
    return _call(EXPLAIN, deadline, user_id=user_id, item_id=item_id, **fields)


def rank(
    items: Sequence[Id], *, deadline: float | None = None, **fields: Unpack[RankFields]
) -> Call[answers.RankResponse]:
    """Items that the program has found, such as the results of a search, the best first. fields: of `RankFields`."""
    return _call(RANK, deadline, items=items, **fields)


def add_events(events: Iterable[Event | Values], *, deadline: float | None = None) -> Call[answers.EventsResponse]:
    """Store events of users. `stored` counts the events of the last try; an earlier try may have stored some."""
    return _call(EVENTS, deadline, events=[_with_id(event) for event in events])


def put_items(items: Iterable[Item | Values], *, deadline: float | None = None) -> Call[answers.ItemsResponse]:
    """Add, change or hide items. A put is in force within about a second."""
    return _call(ITEMS, deadline, items=items)


def item(item_id: Id, *, deadline: float | None = None) -> Call[answers.ItemResponse]:
    """Show an item; NotFound for an item that neither the live generation nor a put describes."""
    return _call(ITEM, deadline, item_id=item_id)


def forget_item(item_id: Id, *, deadline: float | None = None) -> Call[answers.ForgottenItemResponse]:
    """Drop what was put for an item; NotFound if nothing was put and the live generation does not have the item.

    The second try of a call can raise NotFound too, if the first try deleted the item and its answer was lost.
    """
    return _call(FORGET_ITEM, deadline, item_id=item_id)


def user(user_id: Id, *, deadline: float | None = None) -> Call[answers.UserResponse]:
    """Show what is stored about a user."""
    return _call(USER, deadline, user_id=user_id)


def forget(user_id: Id, *, deadline: float | None = None) -> Call[answers.ForgottenResponse]:
    """Delete all that is stored about a user."""
    return _call(FORGET, deadline, user_id=user_id)


def merge(user_id: Id, into: Id, *, deadline: float | None = None) -> Call[answers.MergedResponse]:
    """Give the events of a user to another user, such as a login, and delete the first user."""
    return _call(MERGE, deadline, user_id=user_id, into=into)


def status(*, deadline: float | None = None) -> Call[answers.StatusResponse]:
    """Show the live generation, and the state of the process that answers."""
    return _call(STATUS, deadline)


def _call(verb: Verb[A], deadline: float | None, **given: object) -> Call[A]:
    return Call(verb, {name: _plain(value, name) for name, value in given.items() if value is not None}, deadline)


def _with_id(event: object) -> object:
    """The event with an id, so that the event counts once if it is sent twice."""
    values = event.model_dump(exclude_unset=True) if isinstance(event, Event) else event
    if not isinstance(values, Mapping) or values.get("event_id") is not None:
        return values
    return {**values, "event_id": uuid4().hex}


def _plain(value: object, place: str) -> Any:
    """The value as JSON has it, also of numpy and pandas; RequestRefused for a value that JSON does not have.

    The deployment validates everything else, and its error names the field. place: the path of the value.
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
    """Whether UTF-8 can encode the text: UTF-8 has no half of a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
