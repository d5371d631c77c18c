"""The table of the endpoints (verbs), such as recommend: HTTP path, gRPC method, models, key scope and limits.

A new endpoint is a row here, a handler in `service.verbs.recommender`, a method of the proto, and a text in
`service.http.operation_texts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from service import schema
from service.schema.errors import MAX_BODY

Q = TypeVar("Q", bound=BaseModel)

IDS_BYTES = 16 << 10
"""Bytes of a request of ids alone: two ids of 256 characters take 6,144 bytes if each is escaped in 12 bytes."""

SLATE_BYTES = 512 << 10
"""Bytes of a request for a slate: 0.47 MB with all lists full of ASCII texts of the greatest length."""

RANK_BYTES = 768 << 10
"""Bytes of a request to rank: 0.6 MB in the same way, with 500 items."""

VALUES = 20_000
"""Values of a JSON body. 1,000 events have 16,000, a request for a slate has 2,100. The largest have room to name the
list that is too long."""

ITEMS_VALUES = 80_000
"""Values of a JSON body of 1,000 items, each with 32 categories and 32 columns: 70,000."""


class Scope(StrEnum):
    """A permission of a key; none implies another."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


@dataclass(frozen=True)
class Verb(Generic[Q]):
    """An endpoint of the server, over HTTP and gRPC.

    name: its label in metrics. rpc: its name in tandem.v1.Recommender. method, path: of HTTP. scope: that a key needs.
    takes: the model of a request. gives: the models of an answer. most_bytes: of a body or a message. most_values: of a
    JSON body. timed: whether it has a deadline, which a request may set.
    """

    name: str
    rpc: str
    method: str
    path: str
    scope: Scope
    takes: type[Q]
    gives: tuple[type[BaseModel], ...]
    most_bytes: int = IDS_BYTES
    most_values: int = VALUES
    timed: bool = False

    @property
    def has_body(self) -> bool:
        """Whether a request over HTTP has a body."""
        return self.method in ("POST", "PUT")


_SLATE: dict[str, Any] = {"most_bytes": SLATE_BYTES, "timed": True}
_READ, _WRITE, _ADMIN = Scope.READ, Scope.WRITE, Scope.ADMIN
_SLATES = (schema.RecommendResponse, schema.SlatesResponse)
_ITEM, _USER = "/items/{item_id}", "/users/{user_id}"

RECOMMEND = Verb("recommend", "Recommend", "POST", "/recommend", _READ, schema.RecommendRequest, _SLATES, **_SLATE)
SIMILAR = Verb(
    "similar", "Similar", "POST", "/similar", _READ, schema.SimilarRequest, (schema.SimilarResponse,), **_SLATE
)
EXPLAIN = Verb(
    "explain", "Explain", "POST", "/explain", _READ, schema.ExplainRequest, (schema.ExplainResponse,), **_SLATE
)
RANK = Verb("rank", "Rank", "POST", "/rank", _READ, schema.RankRequest, (schema.RankResponse,), RANK_BYTES, timed=True)
EVENTS = Verb(
    "events", "AddEvents", "POST", "/events", _WRITE, schema.EventsRequest, (schema.EventsResponse,), MAX_BODY
)
ITEMS = Verb(
    "items", "PutItems", "PUT", "/items", _ADMIN, schema.ItemsRequest, (schema.ItemsResponse,), MAX_BODY, ITEMS_VALUES
)
ITEM = Verb("item", "GetItem", "GET", _ITEM, _ADMIN, schema.ItemRequest, (schema.ItemResponse,))
FORGET_ITEM = Verb(
    "forget_item", "ForgetItem", "DELETE", _ITEM, _ADMIN, schema.ItemRequest, (schema.ForgottenItemResponse,)
)
USER = Verb("user", "GetUser", "GET", _USER, _ADMIN, schema.UserRequest, (schema.UserResponse,))
FORGET = Verb("forget", "ForgetUser", "DELETE", _USER, _ADMIN, schema.UserRequest, (schema.ForgottenResponse,))
MERGE = Verb("merge", "MergeUser", "POST", f"{_USER}/merge", _WRITE, schema.MergeRequest, (schema.MergedResponse,))
STATUS = Verb("status", "Status", "GET", "/status", _ADMIN, schema.StatusRequest, (schema.StatusResponse,))

VERBS: tuple[Verb[Any], ...] = (
    RECOMMEND,
    SIMILAR,
    EXPLAIN,
    RANK,
    EVENTS,
    ITEMS,
    ITEM,
    FORGET_ITEM,
    USER,
    FORGET,
    MERGE,
    STATUS,
)
