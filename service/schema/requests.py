"""What the doors take. Strict: an unknown field is an error that names it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StrictBool, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from service.schema.fields import Category, ColumnName, ColumnValue, Context, EventType, Filter, Id, Timestamp

USERS_AT_ONCE = 100
"""Users that one request may ask for."""


EventId = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=128)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SessionEvent(_Body):
    """Something the user did in this session that was not sent to /events."""

    item_id: Id
    event_type: EventType = "click"
    timestamp: Timestamp | None = Field(
        None, description="Unix seconds, or an ISO 8601 time with its offset; now if left out."
    )


class Mode(StrEnum):
    """How a slate is made: from a list that a flow made, from that list ranked anew, or from nothing but now."""

    AUTO = "auto"
    BATCH = "batch"
    HYBRID = "hybrid"
    REALTIME = "realtime"


class _Wish(_Body):
    """What requests for a slate have in common."""

    k: int = Field(10, strict=True, ge=1, le=100, description="Items wanted.")
    session: list[SessionEvent] = Field(default_factory=list, max_length=100)
    exclude: list[Id] = Field(default_factory=list, max_length=1000, description="Items not to show.")
    context: Context = Field(default_factory=dict)
    filter: Filter = Field(default_factory=dict)
    mode: Mode = Field(
        Mode.AUTO,
        description="batch: the list that a flow made for the user; hybrid: that list, ranked anew with session and "
        "context; realtime: everything computed now; auto: the cheapest of them that knows all that the user did.",
    )


_WHOM: list[JsonValue] = [
    {"properties": {"user_ids": {"type": "null"}}},
    {
        "required": ["user_ids"],
        "properties": {"user_ids": {"type": "array"}, "user_id": {"type": "null"}, "session": {"maxItems": 0}},
    },
]
"""The rules of `_is_for_one_or_several` as a JSON schema."""


class RecommendRequest(_Wish):
    """A request for a slate: for a user, for a visitor without an id, or one for each of several users."""

    model_config = ConfigDict(json_schema_extra={"oneOf": _WHOM})

    user_id: Id | None = Field(
        None,
        description="The user; or name several in user_ids. Without either the slate is for a visitor without an id: "
        "the session is all that is known.",
    )
    user_ids: list[Id] | None = Field(
        None, min_length=1, max_length=USERS_AT_ONCE, description="Whom slates are for, in place of user_id."
    )
    log_impression: StrictBool = Field(
        True,
        description="false: the slate is not logged as an impression. For previews, tests and load tests, whose slates "
        "no user sees.",
    )

    @model_validator(mode="after")
    def _is_for_one_or_several(self) -> RecommendRequest:
        if self.user_id is not None and self.user_ids is not None:
            raise PydanticCustomError("whom", "Name one user in user_id or several in user_ids, not both")
        if self.user_ids is not None and self.session:
            raise PydanticCustomError("whose_session", "A session is one user's; name that one in user_id")
        return self


class ExplainRequest(_Wish):
    """A question: why an item stands where it does in a user's slate, or why it does not."""

    user_id: Id | None = Field(None, description="The user; a visitor without an id if left out.")
    item_id: Id


class SimilarRequest(_Body):
    """A request for the items most like one."""

    item_id: Id
    user_id: Id | None = Field(None, description="Leave out what this user has seen, where the dataset excludes it.")
    k: int = Field(10, strict=True, ge=1, le=100, description="Items wanted.")
    exclude: list[Id] = Field(default_factory=list, max_length=1000, description="Items not to show.")
    filter: Filter = Field(default_factory=dict)


class Event(_Body):
    """Something a user did."""

    user_id: Id
    item_id: Id
    event_type: EventType = "click"
    timestamp: Timestamp | None = Field(
        None,
        description="Unix seconds, or an ISO 8601 time with its offset; now if left out. An event older than 90 days "
        "is counted as stored, and may be gone at once: what is so old belongs in the log that a training reads.",
    )
    event_id: EventId | None = Field(
        None, description="Any name of your own; an event of a user that is sent twice under one counts once."
    )
    context: Context = Field(
        default_factory=dict,
        description="The event's value in any of the dataset's context columns, as in /recommend. It is stored with "
        "the event and shown by GET /users/{user_id}. No model reads it there: training reads contexts from the log.",
    )


class EventsRequest(_Body):
    """One or many events."""

    events: list[Event] = Field(min_length=1, max_length=1000)


class Item(_Body):
    """What is to be known of an item from now on; what is left out stays as it was."""

    item_id: Id
    title: Annotated[str, StringConstraints(strict=True, max_length=512)] | None = None
    categories: list[Category] | None = Field(None, max_length=32)
    available: StrictBool | None = Field(None, description="false hides the item at once, true shows it again.")
    columns: dict[ColumnName, ColumnValue] = Field(
        default_factory=dict,
        max_length=32,
        description="Further columns that describe items in the dataset: categorical, numeric or boolean.",
    )


class ItemsRequest(_Body):
    """One or many items; of one that is named twice, the last says last."""

    items: list[Item] = Field(min_length=1, max_length=1000)


class ItemRequest(_Body):
    """A request about one item."""

    item_id: Id


class UserRequest(_Body):
    """Whom a verb is about that takes nothing else."""

    user_id: Id


class MergeBody(_Body):
    """The body of a merge: the user that the user of the path is merged into."""

    into: Id = Field(description="The user who gets the events, such as a login.")


class MergeRequest(_Body):
    """Two ids of one person: the first is forgotten, the other gets its events."""

    user_id: Id
    into: Id

    @model_validator(mode="after")
    def _are_two(self) -> MergeRequest:
        if str(self.user_id) == str(self.into):
            raise PydanticCustomError("same_user", "Name another user than the one to merge")
        return self


class StatusRequest(_Body):
    """Nothing needs saying."""
