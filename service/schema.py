"""What the door takes and gives. Strict: a boolean is no number, an unknown field is an error that names it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StrictBool,
    StrictInt,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

Id = Annotated[
    Annotated[StrictInt, Field(ge=-(2**63), le=2**63 - 1)]
    | Annotated[str, StringConstraints(strict=True, min_length=1, max_length=256)],
    Field(description="A string or an integer, as in the interactions log."),
]
EventType = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64)]
Context = Annotated[
    dict[
        Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64)],
        Annotated[str, StringConstraints(strict=True, max_length=256)],
    ],
    Field(
        max_length=8,
        description="In what context this is asked: a value for any of the dataset's context columns, such as "
        '{"device": "mobile"}. A value that training never saw counts as unknown, as does a column left out.',
    ),
]
Category = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=256)]
ColumnName = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64)]


def _column_value(value: object) -> object:
    if isinstance(value, str) and len(value) <= 256:
        return value
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and abs(value) <= 2**63:  # type: ignore[arg-type]  # a NaN is not, and is refused with the rest
        return value
    raise PydanticCustomError("column_value", "Send a string of at most 256 characters or a finite number of 64 bits")


ColumnValue = Annotated[
    Any, PlainValidator(_column_value), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}]})
]
Timestamp = Annotated[float, Field(strict=True, ge=0, le=253_402_300_799, allow_inf_nan=False)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SessionEvent(_Body):
    """Something the user did in this session that was not sent to /events."""

    item_id: Id
    event_type: EventType = "click"
    timestamp: Timestamp | None = Field(None, description="Unix seconds; now if left out.")


class RecommendRequest(_Body):
    """A request for a slate."""

    user_id: Id
    k: int = Field(10, strict=True, ge=1, le=100, description="Items wanted.")
    session: list[SessionEvent] = Field(default_factory=list, max_length=100)
    exclude: list[Id] = Field(default_factory=list, max_length=1000, description="Items not to show.")
    context: Context = Field(default_factory=dict)


class Event(_Body):
    """Something a user did."""

    user_id: Id
    item_id: Id
    event_type: EventType = "click"
    timestamp: Timestamp | None = Field(None, description="Unix seconds; now if left out.")


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
        description="Further columns that describe items in the dataset, categorical or numeric.",
    )


class ItemsRequest(_Body):
    """One or many items; of one that is named twice, the last says last."""

    items: list[Item] = Field(min_length=1, max_length=1000)


class ScoredItem(BaseModel):
    """One place of a slate."""

    item_id: int | str
    title: str
    score: float = Field(description="What ordered the slate; comparable within one answer only.")
    tower_score: float | None = Field(
        description="Inner product of the user's and the item's embedding; null where retrieval did not speak."
    )
    sources: list[str] = Field(
        description="Who proposed the item: tower, covisit, ease, popular, fresh, repeat, precomputed."
    )


class RecommendResponse(BaseModel):
    """A slate."""

    user_id: int | str
    items: list[ScoredItem]
    generation: str = Field(description="The one generation that every part of this answer came from.")
    history: int = Field(description="Interactions of the user that this answer knew of.")
    removed: dict[str, int] = Field(description="Candidates that filters removed, by reason.")
    degraded: list[str] = Field(description="Stages that this answer had to do without; empty when all is well.")


class EventsResponse(BaseModel):
    """What was stored."""

    stored: int
    unknown_items: list[int | str] = Field(description="Items that the live generation does not know yet.")


class ItemsResponse(BaseModel):
    """What was stored."""

    stored: int = Field(description="Distinct items.")
    new: int = Field(description="Of those, the ones that the live generation does not know.")
    known: int = Field(description="The ones it knows: their title and availability may change, their content not.")
    unplaced: list[int | str] = Field(
        description="New items with no category or column value that the live generation knows: nothing says whom "
        "they are for."
    )


class Process(BaseModel):
    """A process that serves, and what it holds."""

    name: str
    held: list[str]


class StatusResponse(BaseModel):
    """What is live and how this process is."""

    ready: bool
    generation: str | None = Field(description="The one that answers come from.")
    live: str | None = Field(description="The one that the alias `live` names; null where it can't be read.")
    topology: str
    store: str = Field(description="ok, or why the store can't be read.")
    refused: dict[str, str] = Field(description="Generations that can't be served, with who found out and why.")
    processes: list[Process] = Field(description="Every process that serves and announced itself.")
    fresh_items: int = Field(description="Items put since that the generation does not know.")
    hidden_items: int = Field(description="Items hidden by a put.")
    data: dict[str, Any]
    metrics: dict[str, Any]


class ErrorBody(BaseModel):
    """What is wrong, and where."""

    code: str
    message: str
    field: str | None = None


class ErrorResponse(BaseModel):
    """The shape of every answer that is not 2xx."""

    error: ErrorBody
