"""The verbs of both doors and of the clients: names, request and answer models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel

from service import schema

Q = TypeVar("Q", bound=BaseModel)
A = TypeVar("A", bound=BaseModel)


@dataclass(frozen=True)
class Verb(Generic[Q, A]):
    """A verb. name: its label in metrics. rpc: its name in tandem.v1.Recommender. method, path: of HTTP."""

    name: str
    rpc: str
    method: str
    path: str
    takes: type[Q]
    gives: type[A]


RECOMMEND = Verb("recommend", "Recommend", "POST", "/recommend", schema.RecommendRequest, schema.RecommendResponse)
RECOMMEND_MANY = Verb("recommend", "Recommend", "POST", "/recommend", schema.RecommendRequest, schema.SlatesResponse)
SIMILAR = Verb("similar", "Similar", "POST", "/similar", schema.SimilarRequest, schema.SimilarResponse)
EXPLAIN = Verb("explain", "Explain", "POST", "/explain", schema.ExplainRequest, schema.ExplainResponse)
EVENTS = Verb("events", "AddEvents", "POST", "/events", schema.EventsRequest, schema.EventsResponse)
ITEMS = Verb("items", "PutItems", "PUT", "/items", schema.ItemsRequest, schema.ItemsResponse)
ITEM = Verb("item", "GetItem", "GET", "/items/{item_id}", schema.ItemRequest, schema.ItemResponse)
FORGET_ITEM = Verb(
    "forget_item", "ForgetItem", "DELETE", "/items/{item_id}", schema.ItemRequest, schema.ForgottenItemResponse
)
USER = Verb("user", "GetUser", "GET", "/users/{user_id}", schema.UserRequest, schema.UserResponse)
FORGET = Verb("forget", "ForgetUser", "DELETE", "/users/{user_id}", schema.UserRequest, schema.ForgottenResponse)
MERGE = Verb("merge", "MergeUser", "POST", "/users/{user_id}/merge", schema.MergeRequest, schema.MergedResponse)
STATUS = Verb("status", "Status", "GET", "/status", schema.StatusRequest, schema.StatusResponse)

TIMED = (RECOMMEND, RECOMMEND_MANY, SIMILAR, EXPLAIN)
"""Verbs with a deadline, which a request may set."""
