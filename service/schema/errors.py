"""Errors of requests as the HTTP and gRPC servers return them: a code, a sentence with the fix, and the field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, Field, ValidationError

from recsys.errors import NoGeneration, QueryError, StoreError, TandemError
from recsys.filters.conditions import TAGS

B = TypeVar("B", bound=BaseModel)

_ID_KINDS = {"constrained-int", "constrained-str"}
"""Pydantic's names of the alternatives of `schema.Id`. They are not fields of the body."""

UNKNOWN_FIELD = "There is no field of this name; remove it."

_SENTENCES = {
    "extra_forbidden": UNKNOWN_FIELD,
    "missing": "This field is required; send it.",
    "too_long": "Send at most {max_length:,} entries.",
    "too_short": "Send at least {min_length:,} entry.",
    "string_too_long": "Send at most {max_length:,} characters.",
    "string_too_short": "An empty text or name is not allowed; send at least {min_length:,} character.",
}
"""In place of pydantic's messages, by the type of the error."""

NAME_CHARACTERS = 64
"""Characters of a field's name that an error repeats. No valid name is longer."""

MAX_BODY = 4 << 20
"""Bytes of the largest body of any endpoint: 1,000 events with all texts of the greatest length are 3.4 MB in ASCII."""


class ErrorBody(BaseModel):
    """An error."""

    code: str = Field(description="A fixed word for the kind of error, for programs.", examples=["invalid"])
    message: str = Field(description="What is wrong, and the fix.", examples=["This field is required; send it."])
    field: str | None = Field(None, description="The field that is wrong, if one is.", examples=["events.0.item_id"])


class ErrorResponse(BaseModel):
    """The body of every answer whose status is not 2xx."""

    error: ErrorBody


def query_error(error: ValidationError) -> QueryError:
    """The first error of a request, with its field and the fix."""
    first = error.errors(include_url=False, include_input=False)[0]
    kind, details = first["type"], first.get("ctx", {})
    if kind == "json_invalid":
        return QueryError(f"The body is not valid JSON: {details['error']}.", code="not_json")
    # Pydantic adds "[key]" to the path of an entry's name. The name itself may have megabytes.
    path = [str(part)[:NAME_CHARACTERS] for part in first["loc"] if part not in ("[key]", "") and part not in TAGS]
    if path and path[-1] in _ID_KINDS:
        return QueryError("Send a string of 1 to 256 characters or an integer of 64 bits.", ".".join(path[:-1]))
    own = _SENTENCES.get(kind)
    sentence = own.format(**details) if own else first["msg"].rstrip(".") + "."
    return QueryError(sentence, details.get("field") or ".".join(path))


def checked(model: type[B], values: Mapping[str, object]) -> B:
    """The request with these values. QueryError names the first wrong field."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise query_error(error) from error


def too_large(most: int) -> QueryError:
    """The error for a body or a message of more bytes than `most`."""
    return QueryError(f"The body is larger than {most:,} bytes; send fewer entries.", code="too_large")


def require_few_values(data: bytes | bytearray, most: int) -> None:
    """QueryError if a JSON body has more than `most` values.

    Pydantic converts a wrong value to Python objects, and makes an error of each wrong entry: 1 to 4 us a value.
    """
    if _values(data) > most and _values(_without_texts(data)) > most:
        raise QueryError(f"The body has more than {most:,} values; send fewer entries.", code="too_large")


def _values(data: bytes | bytearray) -> int:
    """The number of values in JSON, or more if texts hold commas or brackets."""
    return data.count(b",") + data.count(b"[") + data.count(b"{")


def _without_texts(data: bytes | bytearray) -> bytes:
    parts = data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
    return b"".join(parts[::2])


def error_body(error: TandemError) -> ErrorBody:
    """The body of an error."""
    if isinstance(error, QueryError):
        return ErrorBody(code=error.code, message=str(error), field=error.field or None)
    if isinstance(error, NoGeneration):
        return ErrorBody(code="not_ready", message=str(error))
    return ErrorBody(code="store" if isinstance(error, StoreError) else "unavailable", message=str(error))


INTERNAL = ErrorBody(code="internal", message="Internal error; the log has the traceback.")
"""The body of an unexpected error."""

RETRY_AFTER_SECONDS = {"overloaded": 1, "not_ready": 1, "store": 1, "unavailable": 1}
"""Seconds until another try may help, by code."""
