"""What a connection is told that is refused before any verb sees it: whole answers, made once."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from service.edge import bounds
from service.http import headers
from service.schema.answers import ErrorBody, ErrorResponse
from service.schema.verdict import error_body, too_large


@dataclass(frozen=True, slots=True)
class Refusal:
    """reason: as it is counted. told: the answer; empty where there is none to give."""

    reason: str
    told: bytes = b""


def _refusal(reason: str, status: int, error: ErrorBody, *more: str) -> Refusal:
    body = ErrorResponse(error=error).model_dump_json(exclude_none=True).encode()
    every = [f"{name.decode()}: {value.decode()}" for name, value in headers.EVERY]
    head = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *every,
        *more,
        "connection: close",
    ]
    return Refusal(reason, "\r\n".join(head).encode() + b"\r\n\r\n" + body)


MALFORMED = _refusal(
    "malformed",
    400,
    ErrorBody(
        code="malformed",
        message="This is no HTTP/1.1 request: it needs a method of HTTP's, a path, one host, each header on a line of "
        "its own, and for a body one content-length or transfer-encoding: chunked.",
    ),
)
LATE_HEAD = _refusal(
    "late_head",
    408,
    ErrorBody(code="timeout", message=f"The request's head did not come within {bounds.HEAD_SECONDS:.0f} seconds."),
)
LATE_BODY = _refusal(
    "late_body",
    408,
    ErrorBody(code="timeout", message=f"The body did not come within {bounds.BODY_SECONDS:.0f} seconds."),
)
LARGE_HEAD = _refusal(
    "large_head",
    431,
    ErrorBody(
        code="too_large",
        message=f"The head is larger than {bounds.HEAD_BYTES:,} bytes or has more than {bounds.HEADERS} headers.",
    ),
)
LARGE_BODY = _refusal("large_body", 413, error_body(too_large()))
SMALL_PARTS = _refusal(
    "small_parts",
    413,
    ErrorBody(
        code="too_large",
        message=f"The body comes in more than {bounds.PARTS:,} small chunks. Send larger ones, or its length.",
    ),
)
LARGE_BODIES = _refusal(
    "large_bodies",
    429,
    ErrorBody(code="overloaded", message="Too many large bodies are on their way; try again in a second."),
    "retry-after: 1",
)
FULL = _refusal(
    "full",
    503,
    ErrorBody(code="overloaded", message="Too many connections are open; try again in a second."),
    "retry-after: 1",
)
AHEAD = _refusal(
    "ahead",
    429,
    ErrorBody(code="overloaded", message=f"More than {bounds.AHEAD} requests were sent ahead; wait for answers."),
    "retry-after: 1",
)
NO_CERTIFICATE = _refusal(
    "no_certificate", 403, ErrorBody(code="certificate", message="Show a client certificate of this deployment's CA.")
)
MADE_WAY = Refusal("made_way")
"""Whoever was waited for longest, where there are as many connections as may be and another comes."""
ANSWERED = Refusal("answered")
"""Whoever has its answer, and goes on with a body that nobody waits for."""
SILENT = Refusal("silent")
"""A connection that says nothing is told nothing."""
UNREAD = Refusal("unread")
"""Who does not read is told nothing either."""
