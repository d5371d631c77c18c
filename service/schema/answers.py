"""What the doors give."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class ScoredItem(BaseModel):
    """One place of a slate."""

    item_id: int | str
    title: str
    score: float = Field(description="What ordered the slate; comparable within one answer only.")
    tower_score: float | None = Field(
        description="Inner product of the user's and the item's embedding; null where retrieval did not speak."
    )
    sources: list[str] = Field(
        description="Who proposed the item: tower, covisit, ease, popular, fresh, repeat, trending, precomputed."
    )
    rules: list[str] = Field(description="Rules that put the item where it stands: pin, quota, boost, bury and so on.")


class RecommendResponse(BaseModel):
    """A slate."""

    user_id: int | str | None = Field(description="Null where the request names no user.")
    items: list[ScoredItem]
    generation: str = Field(description="The one generation that every part of this answer came from.")
    mode: str = Field(description="How the slate was made: batch, hybrid or realtime.")
    history: int = Field(description="Interactions of the user that this answer knew of.")
    removed: dict[str, int] = Field(description="Candidates that filters removed, by reason.")
    degraded: list[str] = Field(description="Stages that this answer had to do without; empty when all is well.")
    unknown_items: list[int | str] = Field(
        description="Items of the session that neither the generation nor a put describes; they had no effect."
    )
    unknown_types: list[str] = Field(
        description="Event types of the session that the generation does not know; such events had no effect."
    )


class SlatesResponse(BaseModel):
    """A slate for each of several users, in the order they were named in."""

    slates: list[RecommendResponse]


class SimilarItem(BaseModel):
    """One of the items most like another."""

    item_id: int | str
    title: str
    score: float = Field(description="What ordered the list; comparable within one answer only.")
    likeness: float | None = Field(description="Inner product of the two embeddings; null where only popularity spoke.")
    sources: list[str]


class SimilarResponse(BaseModel):
    """Items most like one, the likest first: of the rules only hide_unavailable and exclude_seen hold."""

    item_id: int | str
    items: list[SimilarItem]
    generation: str
    removed: dict[str, int]
    degraded: list[str]


class Feature(BaseModel):
    """One feature of the ranker."""

    name: str
    value: float
    contribution: float = Field(
        description="What the score loses when this feature alone is set to its mean over the training data."
    )


class ExplainResponse(BaseModel):
    """Why an item stands where it does, or why it does not."""

    user_id: int | str | None = Field(description="Null where the request names no user.")
    item_id: int | str
    title: str
    generation: str
    mode: str
    place: int | None = Field(description="In the slate, from 1 on; null where it is not in it.")
    dropped_by: str | None = Field(
        description="What kept it out: retrieval, a filter (seen, unavailable, excluded, filter), ranking or rules."
    )
    reason: str = Field(description="A sentence.")
    sources: list[str]
    tower_score: float | None
    tower_place: int | None = Field(description="By the tower's score alone, among all items that may be shown.")
    score: float | None
    ranked_place: int | None = Field(description="By the ranker's score, among the candidates that passed the filters.")
    features: list[Feature]
    rules: list[str]
    history: int
    degraded: list[str]
    unknown_items: list[int | str] = Field(
        description="Items of the session that neither the generation nor a put describes; they had no effect."
    )
    unknown_types: list[str] = Field(
        description="Event types of the session that the generation does not know; such events had no effect."
    )


class StoredEvent(BaseModel):
    """Something a user did, as it is stored."""

    item_id: int | str
    title: str | None = Field(description="Null for an item that the generation in force does not know.")
    event_type: str
    timestamp: float
    context: dict[str, str] = Field(description="As it was sent with the event; empty in the generation's history.")


class UserResponse(BaseModel):
    """What is stored of a user."""

    user_id: int | str
    generation: str
    known: bool = Field(description="Whether the generation in force was trained on this user's past.")
    history: list[StoredEvent] = Field(description="The past that the generation holds, oldest first.")
    events: list[StoredEvent] = Field(description="What was sent to /events since, oldest first.")
    seen: int = Field(description="Items that the generation's data says the user had.")
    listed: int = Field(description="Items of the list that a flow made for the user.")
    listed_at: float | None = Field(description="When, unix seconds.")


class ForgottenResponse(BaseModel):
    """That a user is gone."""

    user_id: int | str
    forgotten: bool


class MergedResponse(BaseModel):
    """The result of a merge."""

    user_id: int | str = Field(description="The user that is forgotten.")
    into: int | str
    events: int = Field(description="Events that are now stored of `into`, as GET /users/{user_id} shows them.")


class EventsResponse(BaseModel):
    """What was stored."""

    stored: int = Field(
        description="New ones, those older than 90 days too; those whose event_id was known are not among them, and "
        "neither are those of types that the dataset ignores."
    )
    unknown_items: list[int | str] = Field(description="Items that the live generation does not know yet.")
    unknown_types: list[str] = Field(
        description="Event types that the live generation does not know. Such events are stored, and no slate takes "
        "them into account until a generation knows their type."
    )
    too_old: int = Field(
        description="Events of the request that are older than 90 days: the log of events has them, and no user's "
        "history keeps them."
    )


class ItemsResponse(BaseModel):
    """What was stored."""

    stored: int = Field(description="Distinct items.")
    new: int = Field(description="Of those, the ones that the live generation does not know.")
    known: int = Field(description="The ones it knows: their title and availability may change, their content not.")
    unplaced: list[int | str] = Field(
        description="New items with no category or column value that the live generation knows: nothing says whom "
        "they are for."
    )
    ignored_columns: list[str] = Field(
        description="Columns, and categories, that were sent for items that the live generation knows. They have no "
        "effect: the content of such an item changes with the next training."
    )


class ItemResponse(BaseModel):
    """What answers are made from of one item: the live generation's tables, and what was put since."""

    item_id: int | str
    generation: str
    title: str
    categories: list[str]
    columns: dict[str, bool | float | str] = Field(description="Further columns that describe the item.")
    available: bool = Field(description="Whether the item may be shown.")
    known: bool = Field(description="Whether the live generation knows the item.")
    put_at: float | None = Field(description="When the item was last put, unix seconds; null where it was not since.")


class ForgottenItemResponse(BaseModel):
    """The result of dropping what was put of an item."""

    item_id: int | str
    forgotten: bool = Field(description="Whether anything had been put.")
    known: bool = Field(description="Whether the live generation knows the item, and shows it as its tables have it.")


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
    away: list[str] = Field(description="Stages that answers of this process do without now, as `degraded` names them.")
    rules: list[str] = Field(description="What is wrong with the file of rules, or inactive in this generation.")
    refused: dict[str, str] = Field(description="Generations that can't be served, with who found out and why.")
    processes: list[Process] = Field(description="Every process that serves and announced itself.")
    fresh_items: int = Field(description="Items put since that the generation does not know.")
    hidden_items: int = Field(description="Items hidden by a put.")
    event_types: list[str] = Field(
        description="Types of events that the generation in force was trained on, the most frequent first."
    )
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
