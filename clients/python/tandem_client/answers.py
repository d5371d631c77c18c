"""Pydantic models of the answers that a Tandem server returns to the client, such as a list of recommended items.

Each model has the fields of the server's answer of the same name, which `GET /openapi.json` describes. A field that
this client does not have is ignored, so that a newer server can be called. A field that a later release adds here has a
default, so that an older server can be called.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field


def _id(value: object) -> object:
    """The id itself, of the object {"text": ...} or {"number": ...} of gRPC."""
    if isinstance(value, dict):
        return int(value["number"]) if "number" in value else value.get("text")
    return value


def _column_value(value: object) -> object:
    """The value itself, of the object of gRPC."""
    return next(iter(value.values()), None) if isinstance(value, dict) else value


Id = Annotated[int | str, BeforeValidator(_id)]
ColumnValue = Annotated[bool | float | str, BeforeValidator(_column_value)]


class ScoredItem(BaseModel):
    """An item of a slate. tower_score: None if retrieval did not score the item."""

    item_id: Id
    title: str
    score: float
    tower_score: float | None = None
    sources: list[str]
    rules: list[str]


class Freshness(BaseModel):
    """The ages in seconds of what an answer was made from, when it was made; None for a part that it was made without.

    model: since the generation was made. list: since the precomputed list was made. trending: since the trending items
    were computed. event: since the user's newest event that was taken into account.
    """

    model: float
    list: float | None = None
    trending: float | None = None
    event: float | None = None


class RecommendResponse(BaseModel):
    """A slate. user_id: None if the request named no user.

    degraded: the stages that the answer was made without; empty in normal operation. unknown_items: items of the
    session that the deployment does not know; they had no effect. unknown_types: the same for event types. arms: the
    user's arm by experiment. arms_away: the experiments whose arm could not be served.
    """

    user_id: Id | None = None
    items: list[ScoredItem]
    generation: str
    mode: str
    history: int
    removed: dict[str, int]
    degraded: list[str]
    unknown_items: list[Id] = Field(default_factory=list)
    unknown_types: list[str] = Field(default_factory=list)
    surface: str = "default"
    arms: dict[str, str] = Field(default_factory=dict)
    arms_away: list[str] = Field(default_factory=list)
    freshness: Freshness | None = None


class RankResponse(BaseModel):
    """The items of a request, the best first. removed: number of items that the answer lacks, by reason.

    unknown_items: items of the request and of its session that the deployment does not know; the answer lacks them.
    """

    user_id: Id | None = None
    items: list[ScoredItem]
    generation: str
    history: int
    removed: dict[str, int]
    degraded: list[str]
    unknown_items: list[Id]
    unknown_types: list[str]
    surface: str
    arms: dict[str, str] = Field(default_factory=dict)
    arms_away: list[str] = Field(default_factory=list)
    freshness: Freshness | None = None


class SlatesResponse(BaseModel):
    """A slate (the ordered list of recommended items) for each of several users, in the order of the request."""

    slates: list[RecommendResponse]


class SimilarItem(BaseModel):
    """An item that is similar to another. likeness: inner product of the two embeddings."""

    item_id: Id
    title: str
    score: float
    likeness: float | None = None
    sources: list[str]


class SimilarResponse(BaseModel):
    """The items most similar to an item, the most similar first. mode: batch if a flow made the list before."""

    item_id: Id
    items: list[SimilarItem]
    generation: str
    removed: dict[str, int]
    degraded: list[str]
    mode: str = "realtime"
    surface: str = "default"
    freshness: Freshness | None = None


class Feature(BaseModel):
    """A feature of the ranker. contribution: how much the score falls if the feature is set to its mean.

    relative: the contribution less its mean over the candidates of the slate.
    """

    name: str
    value: float
    contribution: float
    relative: float = 0.0


class ExplainResponse(BaseModel):
    """Why an item has its place in a slate, or why the slate lacks the item (dropped_by, reason).

    reasons: what tells the item from the other candidates, in words: what raises its score, then what lowers it.
    """

    user_id: Id | None = None
    item_id: Id
    title: str
    generation: str
    mode: str
    place: int | None = None
    dropped_by: str | None = None
    reason: str
    sources: list[str]
    tower_score: float | None = None
    tower_place: int | None = None
    score: float | None = None
    ranked_place: int | None = None
    features: list[Feature]
    reasons: list[str] = Field(default_factory=list)
    rules: list[str]
    history: int
    degraded: list[str]
    unknown_items: list[Id] = Field(default_factory=list)
    unknown_types: list[str] = Field(default_factory=list)
    surface: str = "default"
    arms: dict[str, str] = Field(default_factory=dict)
    arms_away: list[str] = Field(default_factory=list)


class StoredEvent(BaseModel):
    """A stored event. title is None for an item that the generation does not have. context: as it was sent."""

    item_id: Id
    title: str | None = None
    event_type: str
    timestamp: float
    context: dict[str, str] = Field(default_factory=dict)


class UserResponse(BaseModel):
    """What is stored about a user."""

    user_id: Id
    generation: str
    known: bool
    history: list[StoredEvent]
    events: list[StoredEvent]
    seen: int
    listed: int
    listed_at: float | None = None


class ForgottenResponse(BaseModel):
    """The result of deleting a user."""

    user_id: Id
    forgotten: bool


class MergedResponse(BaseModel):
    """The result of a merge. user_id: the user that was deleted. events: the events that are stored of `into` now."""

    user_id: Id
    into: Id
    events: int


class EventsResponse(BaseModel):
    """The result of storing events. stored: events that were not stored before.

    unknown_types: event types that the generation does not know; no slate takes such events into account.
    too_old: events older than 90 days, which no user's history keeps.
    """

    stored: int
    unknown_items: list[Id]
    unknown_types: list[str] = Field(default_factory=list)
    too_old: int = 0


class ItemsResponse(BaseModel):
    """The result of putting items.

    ignored_columns: columns sent for items that the live generation knows. They have no effect until the next training.
    """

    stored: int
    new: int
    known: int
    unplaced: list[Id]
    ignored_columns: list[str] = Field(default_factory=list)


class ItemResponse(BaseModel):
    """An item, with its last put. known: whether the live generation has the item. put_at: unix seconds."""

    item_id: Id
    generation: str
    title: str
    categories: list[str]
    columns: dict[str, ColumnValue]
    available: bool
    known: bool
    put_at: float | None = None


class ForgottenItemResponse(BaseModel):
    """The result of dropping what was put for an item. forgotten: whether the item had been put."""

    item_id: Id
    forgotten: bool
    known: bool


class Process(BaseModel):
    """A process of the deployment, and the generations that it holds."""

    name: str
    held: list[str]


class StatusResponse(BaseModel):
    """What is live, and the state of the process that answers."""

    ready: bool
    generation: str | None = None
    live: str | None = None
    topology: str
    store: str
    away: list[str]
    rules: list[str]
    surfaces: list[str] = []
    surface_errors: list[str] = []
    refused: dict[str, str]
    processes: list[Process]
    fresh_items: int
    hidden_items: int
    event_types: list[str] = []
    data: dict[str, Any]
    metrics: dict[str, Any]


class ErrorBody(BaseModel):
    """An error: a code for programs, a sentence, and the field of the request where one is wrong."""

    code: str
    message: str
    field: str | None = None


class ErrorResponse(BaseModel):
    """The body of every HTTP answer that is not 2xx."""

    error: ErrorBody
