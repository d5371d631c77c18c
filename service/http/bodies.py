"""The JSON body of a request: read within a limit and a deadline, then validated."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.requests import Request

from recsys.errors import QueryError
from service import schema
from service.schema import verbs
from service.schema.errors import query_error, require_few_values, too_large
from service.schema.verbs import Verb

B = TypeVar("B", bound=BaseModel)

KIND = "application/json"
BODY_SECONDS = 8.0
"""Time for a whole body. A body that never ends would hold its connection, and the end of the process, forever."""

EVENT_BYTES = 64 << 10
"""Bytes of a body that may be one event without the list. The largest event is 39 kB, with each character escaped."""

SHOWN_CHARACTERS = 64
"""Of a content type that an error repeats; the header may have kilobytes."""


async def body(request: Request, verb: Verb[Any], model: type[B]) -> B:
    """Read and validate the JSON body of a verb; QueryError names the first wrong field."""
    return parse(model, await _read(request, verb.most_bytes), verb.most_values)


async def events(request: Request) -> list[schema.Event]:
    """The events of a body: a list of events, or one event."""
    return parse_events(await _read(request, verbs.EVENTS.most_bytes))


def parse(model: type[B], data: bytes | bytearray, most_values: int) -> B:
    """The request in a JSON body."""
    require_few_values(data, most_values)
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise query_error(error) from error


def parse_events(data: bytes | bytearray) -> list[schema.Event]:
    """The events in a JSON body. A body of more than EVENT_BYTES is a list and is validated once."""
    most = verbs.EVENTS.most_values
    if len(data) > EVENT_BYTES:
        return parse(schema.EventsRequest, data, most).events
    require_few_values(data, most)
    try:
        return schema.EventsRequest.model_validate_json(data).events
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        if (first["type"], first["loc"]) != ("missing", ("events",)):
            raise query_error(error) from error
    return [parse(schema.Event, data, most)]


async def _read(request: Request, most: int) -> bytearray:
    """The bytes of a JSON body, at most `most`."""
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
