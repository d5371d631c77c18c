"""Pydantic models of the requests that the server takes over HTTP and gRPC; an unknown field is an error."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    JsonValue,
    StrictBool,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from recsys.surfaces import DEFAULT
from recsys.types import Mode
from service.schema.fields import (
    Arms,
    Category,
    ColumnName,
    ColumnValue,
    Context,
    EventId,
    EventType,
    Filter,
    Id,
    SurfaceName,
    Timestamp,
)


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SessionEvent(_Request):
    """An event of this session that was not sent to /events."""

    item_id: Id
    event_type: EventType = "click"
    timestamp: Timestamp | None = Field(
        None, description="Unix seconds, or an ISO 8601 time with its offset. Default: now."
    )


def _of_surface(made: dict[str, JsonValue]) -> None:
    """Leave the default out of a field's JSON schema: a client that sends it would override the surface."""
    made.pop("default")


_SurfaceK = Annotated[
    int,
    Field(
        strict=True,
        ge=1,
        le=100,
        description="Number of items in the answer. Default: the surface's, which is 10 unless its table has another.",
        json_schema_extra=_of_surface,
    ),
]


class _Filtered(_Request):
    """The fields of a request that leave out items."""

    exclude: list[Id] = Field(default_factory=list, max_length=1000, description="Items not to show.")
    filter: Filter = Field(default_factory=dict)


class _Shown(_Filtered):
    """The fields of a request for items that a surface shows."""

    session: Annotated[list[SessionEvent], FailFast()] = Field(
        default_factory=list, max_length=100, description="Events of this session that were not sent to /events."
    )
    context: Context = Field(default_factory=dict)
    surface: SurfaceName = DEFAULT
    arms: Arms = Field(default_factory=dict)


class _SlateRequest(_Shown):
    """The fields of a request for a slate. `k` and `mode` have the defaults of the surface."""

    k: _SurfaceK = 10
    mode: Mode = Field(
        Mode.AUTO,
        description="batch: the list that a flow made for the user. hybrid: that list, ranked again with session and "
        "context. realtime: retrieval and ranking now. auto: the cheapest of these that takes into account all that "
        "the user did. Default: the surface's, which is auto unless its table has another.",
        json_schema_extra=_of_surface,
    )


_ONE_OR_SEVERAL_USERS: list[JsonValue] = [
    {"properties": {"user_ids": {"type": "null"}}},
    {
        "required": ["user_ids"],
        "properties": {"user_ids": {"type": "array"}, "user_id": {"type": "null"}, "session": {"maxItems": 0}},
    },
]
"""The JSON schema of `_names_one_or_several_users`."""


class RecommendRequest(_SlateRequest):
    """A request for a slate: for a user, for a visitor without an id, or for each of several users."""

    model_config = ConfigDict(json_schema_extra={"oneOf": _ONE_OR_SEVERAL_USERS})

    user_id: Id | None = Field(
        None,
        description="The user. Without user_id and user_ids the slate is for a visitor without an id, and made from "
        "the session alone.",
    )
    user_ids: list[Id] | None = Field(
        None, min_length=1, max_length=100, description="Several users, in place of user_id."
    )
    log_impression: StrictBool = Field(
        True,
        description="false: the slate is not logged as an impression. For previews and tests, whose slates no user "
        "sees.",
    )

    @model_validator(mode="after")
    def _names_one_or_several_users(self) -> RecommendRequest:
        if self.user_id is not None and self.user_ids is not None:
            raise _error("user_id", "Name one user in user_id or several in user_ids, not both")
        if self.user_ids is not None and self.session:
            raise _error("session", "A session belongs to one user; name that user in user_id")
        return self


class ExplainRequest(_SlateRequest):
    """A request to explain the place of an item in a user's slate."""

    user_id: Id | None = Field(None, description="The user. Default: a visitor without an id.")
    item_id: Id


class RankRequest(_Shown):
    """A request to order items that the caller has found, such as the results of a search."""

    user_id: Id | None = Field(None, description="The user. Default: a visitor without an id.")
    items: Annotated[list[Id], FailFast()] = Field(
        min_length=1, max_length=500, description="The items to order. An item that is named twice counts once."
    )
    k: int | None = Field(None, strict=True, ge=1, le=500, description="Number of items in the answer. Default: all.")
    exclude_seen: StrictBool = Field(
        False,
        description="true: leave out items that the user has seen, by the rule for slates; all of them if that rule "
        "leaves out none.",
    )


class SimilarRequest(_Filtered):
    """A request for the items most similar to an item."""

    k: _SurfaceK = 10
    item_id: Id
    user_id: Id | None = Field(
        None, description="Leave out items that this user has seen, if the dataset has `exclude_seen`."
    )
    surface: SurfaceName = DEFAULT


class Event(_Request):
    """An event: a user acted on an item."""

    user_id: Id
    item_id: Id
    event_type: EventType = "click"
    timestamp: Timestamp | None = Field(
        None,
        description="Unix seconds, or an ISO 8601 time with its offset. Default: now. An event older than 90 days "
        "is counted as stored, and may be dropped at once: such events belong in the log that a training reads.",
    )
    event_id: EventId | None = Field(
        None, description="An id of your choice. Two events of a user with the same event_id are stored once."
    )
    context: Context = Field(
        default_factory=dict,
        description="The values of the dataset's context columns, as in /recommend. The context is stored with the "
        "event and shown by GET /users/{user_id}. No model reads it there: training reads contexts from the log.",
    )


class EventsRequest(_Request):
    """A list of events."""

    events: Annotated[list[Event], FailFast()] = Field(min_length=1, max_length=1000)


class Item(_Request):
    """An item to add or change. A field that is left out keeps its value."""

    item_id: Id
    title: Annotated[str, StringConstraints(strict=True, max_length=512)] | None = None
    categories: list[Category] | None = Field(None, max_length=32)
    available: StrictBool | None = Field(None, description="false hides the item, true shows it again.")
    columns: dict[ColumnName, ColumnValue] = Field(
        default_factory=dict,
        max_length=32,
        description="Further columns that describe items in the dataset: categorical, numeric or boolean.",
    )


class ItemsRequest(_Request):
    """A list of items. If an item is named twice, the last entry counts."""

    items: Annotated[list[Item], FailFast()] = Field(min_length=1, max_length=1000)


class ItemRequest(_Request):
    """A request about one item."""

    item_id: Id


class UserRequest(_Request):
    """A request about one user."""

    user_id: Id


class MergeBody(_Request):
    """The body of a merge."""

    into: Id = Field(description="The user that gets the events, such as a login.")


class MergeRequest(_Request):
    """A merge of two ids of one person: the first is deleted, the second gets its events."""

    user_id: Id
    into: Id

    @model_validator(mode="after")
    def _names_two_users(self) -> MergeRequest:
        if str(self.user_id) == str(self.into):
            raise _error("into", "Must differ from user_id")
        return self


class StatusRequest(_Request):
    """A request for the status; it has no fields."""


def _error(field: str, message: str) -> PydanticCustomError:
    """An error of a rule about several fields, of which it names one."""
    return PydanticCustomError("fields", message, {"field": field})
