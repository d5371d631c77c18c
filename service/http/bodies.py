"""Read an HTTP request from its path and JSON body, within limits of size and time, and validate it."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.requests import Request

from recsys.errors import QueryError
from service import schema
from service.http import paths
from service.schema import verb_table
from service.schema.errors import checked, query_error, require_few_values, too_large
from service.schema.verb_table import Verb

B = TypeVar("B", bound=BaseModel)

KIND = "application/json"
BODY_SECONDS = 8.0
"""Time for a complete body. A body without an end would hold its connection, and the end of the process, forever."""

SHOWN_CHARACTERS = 64
"""Characters of a content type that an error repeats; the header may have kilobytes."""


async def request_of(verb: Verb[B], request: Request) -> BaseModel:
    """The request to an endpoint, from path and body; QueryError names the first wrong field."""
    ids: dict[str, Any] = paths.ids(request)
    if not verb.has_body:
        return checked(verb.takes, ids)
    data = await read(request, verb.most_bytes)
    require_few_values(data, verb.most_values)
    if verb is verb_table.EVENTS:
        return _events(data)
    if verb is verb_table.MERGE:
        return checked(verb.takes, ids | parsed(schema.MergeBody, data).model_dump())
    return parsed(verb.takes, data)


def parsed(model: type[B], data: bytearray) -> B:
    """The request in a body; QueryError names the first wrong field."""
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise query_error(error) from error


def _events(data: bytearray) -> schema.EventsRequest:
    """A list of events, or one event without the list."""
    try:
        return schema.EventsRequest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        if (first["type"], first["loc"]) != ("missing", ("events",)):
            raise query_error(error) from error
    return schema.EventsRequest.model_construct(events=[parsed(schema.Event, data)])


async def read(request: Request, most: int) -> bytearray:
    """The bytes of a JSON body, at most `most`; QueryError for a larger, late or other body."""
    _require_json(request.headers)
    if int(request.headers.get("content-length", 0)) > most:
        raise too_large(most)
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                data += chunk
                if len(data) > most:
                    raise too_large(most)
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
        raise QueryError(
            f"The body is compressed with {packed[:SHOWN_CHARACTERS]}; send it uncompressed.", code="media_type"
        )
