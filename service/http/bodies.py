"""The JSON body of a request: read within a limit and a deadline, then validated."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.requests import Request

from recsys.errors import QueryError
from service import schema
from service.schema.verdict import MAX_BODY, query_error, too_large

B = TypeVar("B", bound=BaseModel)

KIND = "application/json"
BODY_SECONDS = 8.0
"""Time for a whole body. A body that never ends would hold its connection, and the end of the process, forever."""

SHOWN_CHARACTERS = 64
"""Of a content type that an error repeats; the header may have kilobytes."""


async def body(request: Request, model: type[B]) -> B:
    """Read and validate a JSON body; QueryError names the first wrong field."""
    data = await _read(request)
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise query_error(error) from error


async def events(request: Request) -> list[schema.Event]:
    """The events of a body: a list of events, or one event."""
    data = await _read(request)
    try:
        return schema.EventsRequest.model_validate_json(data).events
    except ValidationError as error:
        if not any(
            found["type"] == "missing" and found["loc"] == ("events",)
            for found in error.errors(include_input=False, include_url=False)
        ):
            raise query_error(error) from error
    try:
        return [schema.Event.model_validate_json(data)]
    except ValidationError as error:
        raise query_error(error) from error


async def _read(request: Request) -> bytearray:
    """The bytes of a JSON body, at most MAX_BODY."""
    _require_json(request.headers)
    if int(request.headers.get("content-length", 0)) > MAX_BODY:
        raise too_large()
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                data += chunk
                if len(data) > MAX_BODY:
                    raise too_large()
    except TimeoutError:
        raise QueryError(f"The body did not come within {BODY_SECONDS:g} seconds.", code="timeout") from None
    if not data and "upgrade" in request.headers:  # Java's HttpClient sends it for HTTP/2
        sentence = "The server drops the body of a request with the header upgrade; send it without that header."
        raise QueryError(sentence, code="not_json")
    return data


def _require_json(headers: Headers) -> None:
    kind = headers.get("content-type", KIND).split(";")[0].strip().lower()
    if kind != KIND:
        shown = kind[:SHOWN_CHARACTERS] or "of no kind"
        raise QueryError(f"The body is {shown}; send {KIND}.", code="media_type")
    packed = headers.get("content-encoding", "identity").strip().lower()
    if packed != "identity":
        raise QueryError(f"The body is packed by {packed[:SHOWN_CHARACTERS]}; send it as it is.", code="media_type")
