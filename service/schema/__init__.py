"""The pydantic models of requests and answers: the one source of validation and of the OpenAPI document."""

from recsys.types import Mode as Mode
from service.schema.answers import (
    EventsResponse,
    ExplainResponse,
    Feature,
    ForgottenItemResponse,
    ForgottenResponse,
    Freshness,
    ItemResponse,
    ItemsResponse,
    MergedResponse,
    Process,
    RankResponse,
    RecommendResponse,
    ScoredItem,
    SimilarItem,
    SimilarResponse,
    SlatesResponse,
    StatusResponse,
    StoredEvent,
    UserResponse,
)
from service.schema.errors import ErrorBody, ErrorResponse
from service.schema.requests import (
    Event,
    EventsRequest,
    ExplainRequest,
    Item,
    ItemRequest,
    ItemsRequest,
    MergeBody,
    MergeRequest,
    RankRequest,
    RecommendRequest,
    SessionEvent,
    SimilarRequest,
    StatusRequest,
    UserRequest,
)
