"""HTTP error responses: a status, and JSON with a code for programs, a sentence, and the wrong field, if any."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Iterable

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from recsys.errors import QueryError, TandemError
from service import schema
from service.schema.errors import INTERNAL, RETRY_AFTER_SECONDS, error_body

logger = logging.getLogger("tandem")

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


async def answer_or_error(name: str, work: Awaitable[Response]) -> Response:
    """The response of an endpoint, or the response for the error that it raises. name: of the endpoint, for the log."""
    try:
        return await work
    except TandemError as error:
        return error_response(error)
    except ClientDisconnect:
        return Response(status_code=400)  # the client has closed the connection
    except Exception:
        logger.exception("%s failed", name)
        return json_error(500, INTERNAL)


def error_response(error: TandemError, retry_after: int | None = None) -> Response:
    """The response for an error: 4xx for an error of the request, 503 for one of the deployment.

    retry_after: seconds until a retry may succeed; None for what the error's code implies.
    """
    body = error_body(error)
    status = _STATUS.get(body.code, 422) if isinstance(error, QueryError) else 503
    response = json_error(status, body)
    if seconds := retry_after or RETRY_AFTER_SECONDS.get(body.code):
        response.headers["retry-after"] = str(seconds)
    if body.code == "unauthenticated":
        response.headers["www-authenticate"] = 'Bearer realm="tandem"'
    if body.code == "timeout":
        response.headers["connection"] = "close"  # the rest of the body is no request
    return response


def nothing_at(path: str, elsewhere: str = "") -> QueryError:
    """The error for a path without a route. elsewhere: a sentence that follows."""
    return QueryError(f"There is nothing at {path[:100]}. {elsewhere}".strip(), code="not_found")


def method_refused(path: str, methods: Iterable[str]) -> Response:
    """The response for a method that a path does not have."""
    allowed = ", ".join(sorted(methods))
    response = error_response(QueryError(f"{path[:100]} takes {allowed}.", code="method"))
    response.headers["allow"] = allowed
    return response


def json_error(status: int, body: schema.ErrorBody) -> Response:
    """The response for an error body."""
    # A message may repeat surrogates of the request: ASCII escapes keep the response valid JSON.
    text = json.dumps(schema.ErrorResponse(error=body).model_dump(exclude_none=True))
    return Response(text, status, media_type="application/json")
