"""The JSON body of a request: read no further than it may go, and validated."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.requests import Request

from recsys.errors import QueryError
from service import schema
from service.edge.bounds import BODY_SECONDS
from service.schema.verdict import MAX_BODY, query_error, too_large

B = TypeVar("B", bound=BaseModel)

KIND = "application/json"
READ_SECONDS = BODY_SECONDS + 2
"""In which a body has to be here, whole: one that never ends would hold its connection, and a stop, for ever. The
connection says it earlier (`service.edge.ending`), and with less ado."""

TOLD_CHARACTERS = 64
"""Of a content type that an error repeats; it may have kilobytes."""


async def body(request: Request, model: type[B]) -> B:
    """Read and validate a JSON body; QueryError names the first wrong field."""
    return parsed(await _read(request), model)


def parsed(data: bytes | bytearray, model: type[B]) -> B:
    """Validate a JSON body; QueryError names the first wrong field."""
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise query_error(error) from error


async def events(request: Request) -> list[schema.Event]:
    """The events of a body that holds several, or is one."""
    data = await _read(request)
    try:
        return schema.EventsRequest.model_validate_json(data).events
    except ValidationError as error:
        if not any(
            told["type"] == "missing" and told["loc"] == ("events",)
            for told in error.errors(include_input=False, include_url=False)
        ):
            raise query_error(error) from error
    try:
        return [schema.Event.model_validate_json(data)]
    except ValidationError as error:
        raise query_error(error) from error


def require_json(headers: Headers) -> None:
    """QueryError where a head says that its body is no plain JSON."""
    kind = headers.get("content-type", KIND).split(";")[0].strip().lower()
    if kind != KIND:
        told = kind[:TOLD_CHARACTERS] or "of no kind"
        raise QueryError(f"The body is {told}; send {KIND}.", code="media_type")
    packed = headers.get("content-encoding", "identity").strip().lower()
    if packed != "identity":
        raise QueryError(f"The body is packed by {packed[:TOLD_CHARACTERS]}; send it as it is.", code="media_type")


async def _read(request: Request) -> bytearray:
    """The bytes of a JSON body; no more than may be."""
    require_json(request.headers)
    data = bytearray()
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for chunk in request.stream():
                data += chunk
                if len(data) > MAX_BODY:
                    raise too_large()
    except TimeoutError:
        raise QueryError(f"The body did not come within {READ_SECONDS:g} seconds.", code="timeout") from None
    return data
