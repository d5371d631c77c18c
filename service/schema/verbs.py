"""The verbs of both doors and of the clients: names, request and answer models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel

from service import schema
from service.schema.verdict import MAX_BODY

Q = TypeVar("Q", bound=BaseModel)
A = TypeVar("A", bound=BaseModel)


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
class Verb(Generic[Q, A]):
    """A verb.

    name: its label in metrics. rpc: its name in tandem.v1.Recommender. method, path: of HTTP. most_bytes: of a body or
    a message. most_values: of a JSON body.
    """

    name: str
    rpc: str
    method: str
    path: str
    takes: type[Q]
    gives: type[A]
    most_bytes: int = IDS_BYTES
    most_values: int = VALUES


RECOMMEND = Verb(
    "recommend", "Recommend", "POST", "/recommend", schema.RecommendRequest, schema.RecommendResponse, SLATE_BYTES
)
RECOMMEND_MANY = Verb(
    "recommend", "Recommend", "POST", "/recommend", schema.RecommendRequest, schema.SlatesResponse, SLATE_BYTES
)
SIMILAR = Verb("similar", "Similar", "POST", "/similar", schema.SimilarRequest, schema.SimilarResponse, SLATE_BYTES)
EXPLAIN = Verb("explain", "Explain", "POST", "/explain", schema.ExplainRequest, schema.ExplainResponse, SLATE_BYTES)
EVENTS = Verb("events", "AddEvents", "POST", "/events", schema.EventsRequest, schema.EventsResponse, MAX_BODY)
ITEMS = Verb("items", "PutItems", "PUT", "/items", schema.ItemsRequest, schema.ItemsResponse, MAX_BODY, ITEMS_VALUES)
ITEM = Verb("item", "GetItem", "GET", "/items/{item_id}", schema.ItemRequest, schema.ItemResponse)
FORGET_ITEM = Verb(
    "forget_item", "ForgetItem", "DELETE", "/items/{item_id}", schema.ItemRequest, schema.ForgottenItemResponse
)
USER = Verb("user", "GetUser", "GET", "/users/{user_id}", schema.UserRequest, schema.UserResponse)
FORGET = Verb("forget", "ForgetUser", "DELETE", "/users/{user_id}", schema.UserRequest, schema.ForgottenResponse)
MERGE = Verb("merge", "MergeUser", "POST", "/users/{user_id}/merge", schema.MergeRequest, schema.MergedResponse)
STATUS = Verb("status", "Status", "GET", "/status", schema.StatusRequest, schema.StatusResponse)

WITH_BODY = (RECOMMEND, SIMILAR, EXPLAIN, EVENTS, ITEMS, MERGE)
"""Verbs whose request over HTTP has a body."""

TIMED = (RECOMMEND, RECOMMEND_MANY, SIMILAR, EXPLAIN)
"""Verbs with a deadline, which a request may set."""
