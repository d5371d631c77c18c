"""The HTTP form of an error: a status and one JSON shape with a code, a sentence and the field."""

from __future__ import annotations

import json

from starlette.responses import Response

from recsys.errors import QueryError, TandemError
from service import schema
from service.schema.verdict import AGAIN, INTERNAL, error_body

_STATUS = {
    "unauthenticated": 401,
    "forbidden": 403,
    "limited": 429,
    "overloaded": 429,
    "not_found": 404,
    "method": 405,
    "timeout": 408,
    "too_large": 413,
    "not_json": 400,
    "media_type": 415,
    "full": 409,
}


def error_response(error: TandemError) -> Response:
    """The response for an error: 4xx for an error of the request, 503 for one of the deployment."""
    body = error_body(error)
    status = _STATUS.get(body.code, 422) if isinstance(error, QueryError) else 503
    response = json_error(status, body)
    if body.code in AGAIN:
        response.headers["retry-after"] = str(AGAIN[body.code])
    if body.code == "timeout":
        response.headers["connection"] = "close"  # the rest of the body is no request
    return response


def internal_error() -> Response:
    """The response for an exception that no verb expects; the log has its traceback."""
    return json_error(500, INTERNAL)


def nothing_at(path: str) -> QueryError:
    """The error for a path without a route."""
    return QueryError(f"There is nothing at {path[:100]}.", code="not_found")


def json_error(status: int, body: schema.ErrorBody) -> Response:
    """The response for an error body."""
    # A message may repeat surrogates of the request: ASCII escapes keep the response valid JSON.
    text = json.dumps(schema.ErrorResponse(error=body).model_dump(exclude_none=True))
    return Response(text, status, media_type="application/json")
