"""Pydantic models of the requests and answers of the Explorer's data, which are no part of the released API."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from service import schema


class SearchRequest(BaseModel):
    """A search of items or users."""

    model_config = ConfigDict(extra="forbid")

    q: str = Field("", max_length=200)
    limit: int = Field(10, ge=1, le=50)


class FoundItem(BaseModel):
    """An item that a search found. available: whether slates may show the item."""

    item_id: int | str
    title: str
    available: bool


class FoundItems(BaseModel):
    """Items, the most popular first. more: whether there are others."""

    items: list[FoundItem]
    more: bool


class FoundUser(BaseModel):
    """A user that a search found. history, events: number of interactions in the generation, and of events since."""

    user_id: int | str
    history: int
    events: int


class FoundUsers(BaseModel):
    """Users whose id begins with the text. sampled: number of searched ids. complete: whether these are all."""

    users: list[FoundUser]
    sampled: int
    complete: bool


class UserHistory(BaseModel):
    """What a user did, the newest first. total: number of events that are stored. listed: items of the user's list."""

    user_id: int | str
    known: bool
    total: int
    newest: list[schema.StoredEvent]
    seen: int
    listed: int
    listed_at: float | None


class LeftOutItem(BaseModel):
    """A candidate that the slate lacks. place: by score among all candidates, from 1 on. reason: of the filter."""

    item_id: int | str
    title: str
    place: int
    reason: str
    sentence: str


class SlateReason(BaseModel):
    """What tells an item from the other candidates. contribution: to its score, less the mean over the candidates."""

    words: str
    contribution: float


class SlateWithReasons(BaseModel):
    """A slate. reasons: of each item, those that raise its score first. left_out: the best candidates left out.

    unexplained: a sentence if no reason is there.
    """

    slate: schema.RecommendResponse
    candidates: int
    reasons: list[list[SlateReason]]
    unexplained: str | None
    left_out: list[LeftOutItem]


class SurfaceChoice(BaseModel):
    """A surface that requests may name, with its number of items and mode."""

    name: str
    k: int
    mode: str


class ContextChoice(BaseModel):
    """A context column, and the values that the generation has, the most frequent first."""

    column: str
    values: list[str]


class ExperimentChoice(BaseModel):
    """A running experiment and its arms, `control` first."""

    name: str
    arms: list[str]


class Choices(BaseModel):
    """What a request may name. scopes: of the key; all of them if requests need no key. users: its users' prefix."""

    generation: str
    surfaces: list[SurfaceChoice]
    modes: list[str]
    event_types: list[str]
    contexts: list[ContextChoice]
    experiments: list[ExperimentChoice]
    scopes: list[str]
    users: str
