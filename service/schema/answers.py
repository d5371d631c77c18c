"""Pydantic models of the answers that the server returns over HTTP and gRPC; the OpenAPI document is made from them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from recsys.retrieval.registry import SOURCES

SOURCE_NAMES = ", ".join(source.name for source in SOURCES)


class ScoredItem(BaseModel):
    """An item at its place in a slate."""

    item_id: int | str
    title: str
    score: float = Field(description="The slate is ordered by the score. Scores of two answers can't be compared.")
    tower_score: float | None = Field(description="Inner product of the user's and the item's embedding, if any.")
    sources: list[str] = Field(description=f"Candidate sources that proposed the item: {SOURCE_NAMES}.")
    rules: list[str] = Field(description="Rules that moved the item to its place, such as pin, quota, boost and bury.")


class Freshness(BaseModel):
    """The age in seconds of what the answer was made from, when it was made. Null: the answer was made without it."""

    model: float = Field(description="Since the generation was made.")
    list: float | None = Field(description="Since the precomputed list was made.")
    trending: float | None = Field(description="Since the trending items were computed.")
    event: float | None = Field(
        description="Since the user's newest event that was taken into account, of the session too. A list takes no "
        "event into account that came after the list was made."
    )


class RecommendResponse(BaseModel):
    """A slate."""

    user_id: int | str | None = Field(description="Null if the request names no user.")
    items: list[ScoredItem]
    generation: str = Field(description="The generation that made every part of the answer.")
    mode: str = Field(description="How the slate was made: batch, hybrid or realtime.")
    history: int = Field(description="Interactions of the user that the answer takes into account.")
    removed: dict[str, int] = Field(description="Number of candidates that filters removed, by reason.")
    degraded: list[str] = Field(
        description="Stages that failed or were late. The answer was made without them. `overload`: too many requests "
        "wait, and the user's precomputed list is the answer."
    )
    unknown_items: list[int | str] = Field(description="Items of the session that are not known. They have no effect.")
    unknown_types: list[str] = Field(description="Event types of the session that are not known. They have no effect.")
    surface: str = Field(description="The surface of the request.")
    arms: dict[str, str] = Field(
        description="The user's arm in each running experiment; `control` is the answer without the experiment."
    )
    arms_away: list[str] = Field(
        description="Experiments whose arm could not be served. Their part of the answer is the control's."
    )
    freshness: Freshness


class SlatesResponse(BaseModel):
    """A slate for each of several users, in the order of the request."""

    slates: list[RecommendResponse]


class RankResponse(BaseModel):
    """The items of a request, the best first."""

    user_id: int | str | None = Field(description="Null if the request names no user.")
    items: list[ScoredItem]
    generation: str = Field(description="The generation that made every part of the answer.")
    history: int = Field(description="Interactions of the user that the answer takes into account.")
    removed: dict[str, int] = Field(
        description="Number of items that the answer lacks, by reason: unavailable, seen, excluded, filter or rules."
    )
    degraded: list[str] = Field(
        description="Stages that failed or were late. Without ranking the tower's scores order the items, without "
        "retrieval the order of the request stays."
    )
    unknown_items: list[int | str] = Field(
        description="Items of the request and of the session that are not known. The answer lacks them."
    )
    unknown_types: list[str] = Field(description="Event types of the session that are not known. They have no effect.")
    surface: str = Field(description="The surface of the request.")
    arms: dict[str, str] = Field(
        description="The user's arm in each running experiment; `control` is the answer without the experiment."
    )
    arms_away: list[str] = Field(
        description="Experiments whose arm could not be served. Their part of the answer is the control's."
    )
    freshness: Freshness


class SimilarItem(BaseModel):
    """An item that is similar to another."""

    item_id: int | str
    title: str
    score: float = Field(description="The list is ordered by the score. Scores of two answers can't be compared.")
    likeness: float | None = Field(description="Inner product of the two embeddings. Null for a popular item.")
    sources: list[str]


class SimilarResponse(BaseModel):
    """The items most similar to an item, the most similar first."""

    item_id: int | str
    items: list[SimilarItem]
    generation: str
    removed: dict[str, int]
    degraded: list[str]
    mode: str = Field(description="batch: the list that a flow made for the item. realtime: computed now.")
    surface: str = Field(description="The surface of the request.")
    freshness: Freshness


class Feature(BaseModel):
    """A feature of the ranker, for one item."""

    name: str
    value: float
    contribution: float = Field(description="How much the score falls if the feature is set to its training mean.")
    relative: float = Field(description="The contribution less its mean over the candidates of the slate.")


class ExplainResponse(BaseModel):
    """Why an item has its place in a slate, or why the slate lacks the item."""

    user_id: int | str | None = Field(description="Null if the request names no user.")
    item_id: int | str
    title: str
    generation: str
    mode: str
    place: int | None = Field(description="Place in the slate, from 1 on. Null if the slate lacks the item.")
    dropped_by: str | None = Field(
        description="What dropped the item: retrieval, unavailable, seen, excluded, filter, ranking or rules. Null if "
        "the item is in the slate."
    )
    reason: str = Field(description="The same in a sentence.")
    sources: list[str]
    tower_score: float | None
    tower_place: int | None = Field(description="Place by the tower's score alone, among all items that may be shown.")
    score: float | None
    ranked_place: int | None = Field(description="Place by score among the candidates that passed the filters.")
    features: list[Feature] = Field(description="The largest relative contribution first.")
    reasons: list[str] = Field(
        description="What tells the item from the other candidates: what raises its score, then what lowers it."
    )
    rules: list[str]
    history: int
    degraded: list[str]
    unknown_items: list[int | str] = Field(description="Items of the session that are not known. They have no effect.")
    unknown_types: list[str] = Field(description="Event types of the session that are not known. They have no effect.")
    surface: str = Field(description="The surface of the request.")
    arms: dict[str, str] = Field(
        description="The user's arm in each running experiment; `control` is the answer without the experiment."
    )
    arms_away: list[str] = Field(
        description="Experiments whose arm could not be served. Their part of the answer is the control's."
    )


class StoredEvent(BaseModel):
    """An event as it is stored."""

    item_id: int | str
    title: str | None = Field(description="Null if the generation in force does not know the item.")
    event_type: str
    timestamp: float
    context: dict[str, str] = Field(description="The context that was sent with the event. Empty in `history`.")


class UserResponse(BaseModel):
    """What is stored about a user."""

    user_id: int | str
    generation: str
    known: bool = Field(description="Whether the generation in force was trained on the user's interactions.")
    history: list[StoredEvent] = Field(description="Interactions that the generation holds, the oldest first.")
    events: list[StoredEvent] = Field(description="Events that were sent to /events since, the oldest first.")
    seen: int = Field(description="Number of items that the user has seen, by the generation's data.")
    listed: int = Field(description="Number of items in the list that a flow made for the user.")
    listed_at: float | None = Field(description="When the list was made, in unix seconds.")


class ForgottenResponse(BaseModel):
    """The result of deleting a user."""

    user_id: int | str
    forgotten: bool


class MergedResponse(BaseModel):
    """The result of a merge."""

    user_id: int | str = Field(description="The user that was deleted.")
    into: int | str
    events: int = Field(description="Number of events that GET /users/{user_id} now shows for `into`.")


class EventsResponse(BaseModel):
    """What was stored."""

    stored: int = Field(
        description="Number of new events, with those older than 90 days. Events whose event_id is known and events "
        "whose type the dataset ignores are not counted."
    )
    unknown_items: list[int | str] = Field(description="Items that the live generation does not know.")
    unknown_types: list[str] = Field(
        description="Event types that the live generation does not know. Such events are stored, and no slate takes "
        "them into account until a generation knows their type. A generation of a log without types knows every type."
    )
    too_old: int = Field(description="Number of events older than 90 days. They are in the log, in no history.")


class ItemsResponse(BaseModel):
    """What was stored."""

    stored: int = Field(description="Number of distinct items.")
    new: int = Field(description="Number of items that the live generation does not know.")
    known: int = Field(description="Number of items that it knows. A put changes their title and availability.")
    unplaced: list[int | str] = Field(
        description="New items without a category or column value that the live generation knows. They can't be "
        "matched to users by content."
    )
    ignored_columns: list[str] = Field(
        description="Columns sent for items that the live generation knows. They have no effect before a training."
    )


class ItemResponse(BaseModel):
    """An item as answers use it: from the live generation's tables, changed by what was put since."""

    item_id: int | str
    generation: str
    title: str
    categories: list[str]
    columns: dict[str, bool | float | str] = Field(description="Further columns that describe the item.")
    available: bool = Field(description="Whether the item may be shown.")
    known: bool = Field(description="Whether the live generation knows the item.")
    put_at: float | None = Field(description="When the item was last put, in unix seconds.")


class ForgottenItemResponse(BaseModel):
    """The result of dropping what was put for an item."""

    item_id: int | str
    forgotten: bool = Field(description="Whether the item had been put.")
    known: bool = Field(description="Whether the live generation knows the item: then its tables apply again.")


class Process(BaseModel):
    """A process of the deployment, and the generations that it holds."""

    name: str
    held: list[str]


class StatusResponse(BaseModel):
    """What is live, and the state of the process that answers."""

    ready: bool
    generation: str | None = Field(description="The generation that answers are made from.")
    live: str | None = Field(description="The generation that the alias `live` names. Null if the alias can't be read.")
    topology: str
    store: str = Field(description="`ok`, or why the store can't be read.")
    away: list[str] = Field(description="Stages that are away from this process now, named as in `degraded`.")
    rules: list[str] = Field(description="Errors in the files of rules, and rules without effect in this generation.")
    surfaces: list[str] = Field(description="The surfaces that requests may name.")
    surface_errors: list[str] = Field(description="Errors in the file of surfaces. The last valid file is in force.")
    refused: dict[str, str] = Field(description="Generations that can't be served: the process, and its reason.")
    processes: list[Process] = Field(description="Every process of the deployment that announced itself.")
    fresh_items: int = Field(description="Number of items that were put and that the generation does not know.")
    hidden_items: int = Field(description="Number of items that a put hides.")
    event_types: list[str] = Field(description="Event types of the training data, the most frequent first.")
    data: dict[str, Any] = Field(description="The dataset that the generation in force was trained on.")
    metrics: dict[str, Any] = Field(description="Metrics of the evaluation after the training.")
