"""The verbs of both doors: names, paths, request models and limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel

from service import schema
from service.schema.errors import MAX_BODY

Q = TypeVar("Q", bound=BaseModel)


IDS_BYTES = 16 << 10
"""Bytes of a request of ids alone: two ids of 256 characters take 6,144 bytes if each is escaped in 12 bytes."""

SLATE_BYTES = 512 << 10
"""Bytes of a request for a slate: 0.47 MB with all lists full of ASCII texts of the greatest length."""

VALUES = 20_000
"""Values of a JSON body. 1,000 events have 16,000, a request for a slate has 2,100. The largest have room to name the
list that is too long."""

ITEMS_VALUES = 80_000
"""Values of a JSON body of 1,000 items, each with 32 categories and 32 columns: 70,000."""


@dataclass(frozen=True)
class Verb(Generic[Q]):
    """A verb.

    name: its label in metrics. rpc: its name in tandem.v1.Recommender. method, path: of HTTP. takes: the model of a
    request. most_bytes: of a body or a message. most_values: of a JSON body.
    """

    name: str
    rpc: str
    method: str
    path: str
    takes: type[Q]
    most_bytes: int = IDS_BYTES
    most_values: int = VALUES


RECOMMEND = Verb("recommend", "Recommend", "POST", "/recommend", schema.RecommendRequest, SLATE_BYTES)
SIMILAR = Verb("similar", "Similar", "POST", "/similar", schema.SimilarRequest, SLATE_BYTES)
EXPLAIN = Verb("explain", "Explain", "POST", "/explain", schema.ExplainRequest, SLATE_BYTES)
EVENTS = Verb("events", "AddEvents", "POST", "/events", schema.EventsRequest, MAX_BODY)
ITEMS = Verb("items", "PutItems", "PUT", "/items", schema.ItemsRequest, MAX_BODY, ITEMS_VALUES)
ITEM = Verb("item", "GetItem", "GET", "/items/{item_id}", schema.ItemRequest)
FORGET_ITEM = Verb("forget_item", "ForgetItem", "DELETE", "/items/{item_id}", schema.ItemRequest)
USER = Verb("user", "GetUser", "GET", "/users/{user_id}", schema.UserRequest)
FORGET = Verb("forget", "ForgetUser", "DELETE", "/users/{user_id}", schema.UserRequest)
MERGE = Verb("merge", "MergeUser", "POST", "/users/{user_id}/merge", schema.MergeRequest)
STATUS = Verb("status", "Status", "GET", "/status", schema.StatusRequest)

WITH_BODY = (RECOMMEND, SIMILAR, EXPLAIN, EVENTS, ITEMS, MERGE)
"""Verbs whose request over HTTP has a body."""

TIMED = (RECOMMEND, SIMILAR, EXPLAIN)
"""Verbs with a deadline, which a request may set."""
