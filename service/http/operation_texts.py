"""The texts of the OpenAPI document for each operation (endpoint): summary, description, refusals and examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from service.schema import verb_table
from service.schema.verb_table import Verb

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
    """The texts of the document about an endpoint.

    id: the operationId, released. refuses: statuses besides those that every operation has. examples: bodies that work
    with the sample data, by what each shows.
    """

    id: str
    tag: str
    summary: str
    description: str
    refuses: tuple[int, ...] = ()
    examples: Examples = field(default_factory=dict)


OPERATIONS: dict[Verb[Any], Operation] = {
    verb_table.RECOMMEND: Operation(
        "recommend",
        SLATES,
        "Recommend items for one user or for several",
        "Returns a slate: the `k` best items for the user, in order. With `user_ids` it returns a slate for each user.",
        (429,),
        {
            "one user": {"user_id": "you", "k": 5},
            "a visitor without an id": {"session": [{"item_id": "0114709"}], "k": 5},
            "several users": {"user_ids": ["2850", "you"], "k": 5},
            "a filter": {"user_id": "you", "k": 5, "filter": {"categories": ["Drama"], "year": {"gte": 2000}}},
        },
    ),
    verb_table.SIMILAR: Operation(
        "similar",
        SLATES,
        "List the items most similar to an item",
        "The most similar item is first. Of the rules only `hide_unavailable` and `exclude_seen` apply.",
        (404,),
        {"an item": {"item_id": "0114709", "k": 5}},
    ),
    verb_table.EXPLAIN: Operation(
        "explain",
        SLATES,
        "Explain the place of an item in a user's slate",
        "Returns the item's place, scores and features, or the step that dropped the item.",
        (404,),
        {"a user and an item": {"user_id": "you", "item_id": "0114709"}},
    ),
    verb_table.RANK: Operation(
        "rank",
        SLATES,
        "Order items that the caller has found",
        "Returns the items of the request, such as the results of a search, the best for the user first. Filters and "
        "rules apply as in a slate, but items that the user has seen stay.",
        (429,),
        {"results of a search": {"user_id": "you", "items": ["0114709", "0111161", "0068646"]}},
    ),
    verb_table.EVENTS: Operation(
        "store",
        PEOPLE,
        "Store events of users",
        "The next slate of each user takes the events into account. A single event may be sent without the list.",
        examples={
            "one event": {"user_id": "you", "item_id": "0114709"},
            "a list": {"events": [{"user_id": "you", "item_id": "0114709", "event_id": "order-17"}]},
        },
    ),
    verb_table.ITEMS: Operation(
        "put",
        CATALOGUE,
        "Add, change or hide items",
        "A new item can be recommended within a second. `available: false` hides an item.",
        (409,),
        {
            "a new item": {
                "items": [
                    {"item_id": "new-1", "title": "A new film", "categories": ["Drama"], "columns": {"year": 2013}}
                ]
            },
            "hide an item": {"items": [{"item_id": "0114709", "available": False}]},
            "show the item again": {"items": [{"item_id": "0114709", "available": True}]},
        },
    ),
    verb_table.ITEM: Operation(
        "show_items",
        CATALOGUE,
        "Show an item",
        "Returns the item as answers use it: the live generation's tables, changed by what was put since.",
        refuses=(404, 422),
    ),
    verb_table.FORGET_ITEM: Operation(
        "forget_items",
        CATALOGUE,
        "Drop what was put for an item",
        "The live generation's tables apply to the item again. An item that only a put describes is gone.",
        refuses=(404, 422),
    ),
    verb_table.USER: Operation(
        "show_users",
        PEOPLE,
        "Show what is stored about a user",
        "Returns the history that the live generation holds, and the events that were sent since.",
        refuses=(422,),
    ),
    verb_table.FORGET: Operation(
        "forget_users",
        PEOPLE,
        "Delete what is stored about a user",
        "After the answer no entry of the store names the user.",
        refuses=(422,),
    ),
    verb_table.MERGE: Operation(
        "merge_users",
        PEOPLE,
        "Merge a visitor into a login",
        "Moves the events of the user in the path to the user in `into`, and deletes the user in the path.",
        examples={"a login": {"into": "2850"}},
    ),
    verb_table.STATUS: Operation(
        "status",
        STATUS,
        "Show what is live",
        "Returns the generation in force, the processes, what is out of order, and the figures of the training.",
    ),
}

IDS = {"item_id": "0114709", "user_id": "you"}
"""Examples of the parameters of paths."""
