"""Errors of requests, as both doors return them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from recsys.conditions import TAGS
from recsys.errors import NoGeneration, QueryError, StoreError, TandemError
from service.schema.answers import ErrorBody

B = TypeVar("B", bound=BaseModel)

_ID_KINDS = {"constrained-int", "constrained-str"}
"""Pydantic's names of the alternatives of `schema.Id`. They are not fields of the body."""

_MEANT = {"whom": "user_id", "whose_session": "session", "same_user": "into"}
"""The field to name, by the type of an error that looks at several fields."""

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

_JSON_SENTENCES = {
    "lone leading surrogate in hex escape": "A text holds half of a surrogate pair",
    "unexpected end of hex escape": "A text holds half of a surrogate pair, or an incomplete escape",
    "number out of range": "A number has too many digits",
}
"""In place of the JSON parser's words."""

NAME_CHARACTERS = 64
"""Characters of a field's name that an error repeats. No valid name is longer."""

MAX_BODY = 4 << 20
"""Bytes of the largest body of any verb: 1,000 events with all texts of the greatest length are 3.4 MB in ASCII."""


def query_error(error: ValidationError) -> QueryError:
    """The first error of a request, with its field and the fix."""
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return QueryError(_json_sentence(first["msg"].removeprefix("Invalid JSON: ")), code="not_json")
    # Pydantic adds "[key]" to the path of an entry's name. The name itself may have megabytes.
    place = [str(part)[:NAME_CHARACTERS] for part in first["loc"] if part not in ("[key]", "") and part not in TAGS]
    if place and place[-1] in _ID_KINDS:
        return QueryError("Send a string of 1 to 256 characters or an integer of 64 bits.", ".".join(place[:-1]))
    own = _SENTENCES.get(first["type"])
    sentence = own.format(**first.get("ctx", {})) if own else first["msg"].rstrip(".") + "."
    return QueryError(sentence, _MEANT.get(first["type"]) or ".".join(place))


def _json_sentence(message: str) -> str:
    """What is wrong with JSON, from the parser's message, which ends with line and column."""
    for words, sentence in _JSON_SENTENCES.items():
        if message.startswith(words):
            return f"{sentence}{message.removeprefix(words)}."
    return f"The body is not valid JSON: {message}."


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
    if isinstance(error, StoreError):
        return ErrorBody(code="store", message=str(error))
    return ErrorBody(code="unavailable", message=str(error))


INTERNAL = ErrorBody(code="internal", message="Internal error; the log has the traceback.")
"""The body of an unexpected error."""

AGAIN = {"overloaded": 1, "not_ready": 1, "store": 1, "unavailable": 1}
"""Seconds until another try may help, by code."""
