"""The operations of the OpenAPI document: summary, models, refusals and examples, by path and method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from service import schema

SLATES, CATALOGUE, PEOPLE, STATUS = "slates", "items", "users and events", "status"

TAGS = {
    SLATES: "Requests that an app sends to show items.",
    PEOPLE: "What users do and did.",
    CATALOGUE: "Items between two trainings.",
    STATUS: "What this deployment serves.",
}
"""The groups of operations, and what each group is for."""

Examples = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    id: the operationId, released. gives, takes: models of the answer and of the body. refuses: statuses besides those
    that every operation has. examples: bodies that work with the sample data, by what each shows.
    """

    id: str
    tag: str
    summary: str
    description: str
    gives: tuple[type[BaseModel], ...]
    takes: tuple[type[BaseModel], ...] = ()
    refuses: tuple[int, ...] = ()
    examples: Examples = field(default_factory=dict)


_RECOMMEND = Operation(
    "recommend",
    SLATES,
    "Recommend items for one user or for several",
    "Returns a slate: the `k` best items for the user, in order. With `user_ids` it returns a slate for each user.",
    (schema.RecommendResponse, schema.SlatesResponse),
    (schema.RecommendRequest,),
    (429,),
    {
        "one user": {"user_id": "you", "k": 5},
        "a visitor without an id": {"session": [{"item_id": "0114709"}], "k": 5},
        "several users": {"user_ids": ["2850", "you"], "k": 5},
        "a filter": {"user_id": "you", "k": 5, "filter": {"categories": ["Drama"], "year": {"gte": 2000}}},
    },
)
_SIMILAR = Operation(
    "similar",
    SLATES,
    "List the items most similar to an item",
    "The most similar item is first. Of the rules only `hide_unavailable` and `exclude_seen` apply.",
    (schema.SimilarResponse,),
    (schema.SimilarRequest,),
    (404,),
    {"an item": {"item_id": "0114709", "k": 5}},
)
_EXPLAIN = Operation(
    "explain",
    SLATES,
    "Explain the place of an item in a user's slate",
    "Returns the item's place, scores and features, or the step that dropped the item.",
    (schema.ExplainResponse,),
    (schema.ExplainRequest,),
    (404,),
    {"a user and an item": {"user_id": "you", "item_id": "0114709"}},
)
_EVENTS = Operation(
    "store",
    PEOPLE,
    "Store events of users",
    "The next slate of each user takes the events into account. A single event may be sent without the list.",
    (schema.EventsResponse,),
    (schema.EventsRequest, schema.Event),
    examples={
        "one event": {"user_id": "you", "item_id": "0114709"},
        "a list": {"events": [{"user_id": "you", "item_id": "0114709", "event_id": "order-17"}]},
    },
)
_PUT_ITEMS = Operation(
    "put",
    CATALOGUE,
    "Add, change or hide items",
    "A new item can be recommended within a second. `available: false` hides an item.",
    (schema.ItemsResponse,),
    (schema.ItemsRequest,),
    (409,),
    {
        "a new item": {
            "items": [{"item_id": "new-1", "title": "A new film", "categories": ["Drama"], "columns": {"year": 2013}}]
        },
        "hide an item": {"items": [{"item_id": "0114709", "available": False}]},
        "show the item again": {"items": [{"item_id": "0114709", "available": True}]},
    },
)
_ITEM = Operation(
    "show_items",
    CATALOGUE,
    "Show an item",
    "Returns the item as answers use it: the live generation's tables, changed by what was put since.",
    (schema.ItemResponse,),
    refuses=(404, 422),
)
_FORGET_ITEM = Operation(
    "forget_items",
    CATALOGUE,
    "Drop what was put for an item",
    "The live generation's tables apply to the item again. An item that only a put describes is gone.",
    (schema.ForgottenItemResponse,),
    refuses=(404, 422),
)
_USER = Operation(
    "show_users",
    PEOPLE,
    "Show what is stored about a user",
    "Returns the history that the live generation holds, and the events that were sent since.",
    (schema.UserResponse,),
    refuses=(422,),
)
_FORGET = Operation(
    "forget_users",
    PEOPLE,
    "Delete what is stored about a user",
    "After the answer no entry of the store names the user.",
    (schema.ForgottenResponse,),
    refuses=(422,),
)
_MERGE = Operation(
    "merge_users",
    PEOPLE,
    "Merge a visitor into a login",
    "Moves the events of the user in the path to the user in `into`, and deletes the user in the path.",
    (schema.MergedResponse,),
    (schema.MergeBody,),
    examples={"a login": {"into": "2850"}},
)
_STATUS = Operation(
    "status",
    STATUS,
    "Show what is live",
    "Returns the generation in force, the processes, what is out of order, and the figures of the training.",
    (schema.StatusResponse,),
)

OPERATIONS: dict[str, dict[str, Operation]] = {
    "/recommend": {"post": _RECOMMEND},
    "/similar": {"post": _SIMILAR},
    "/explain": {"post": _EXPLAIN},
    "/events": {"post": _EVENTS},
    "/items": {"put": _PUT_ITEMS},
    "/items/{item_id}": {"get": _ITEM, "delete": _FORGET_ITEM},
    "/users/{user_id}": {"get": _USER, "delete": _FORGET},
    "/users/{user_id}/merge": {"post": _MERGE},
    "/status": {"get": _STATUS},
}
"""By path and method."""

IDS = {"item_id": "0114709", "user_id": "you"}
"""Examples of the parameters of paths."""
