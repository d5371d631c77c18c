"""What is said of a request that is wrong."""

from __future__ import annotations

from pydantic import ValidationError

from recsys.errors import QueryError

_ID_KINDS = {"constrained-int", "constrained-str"}
"""How pydantic names the alternatives of `schema.Id`; they are no fields of the body."""

_MEANT = {"whom": "user_id", "whose_session": "session"}
"""The field that is meant where more than one is looked at."""


def query_error(error: ValidationError) -> QueryError:
    """The first thing that is wrong: the field and the fix, the same words at every door."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return QueryError(
            f"The body is not valid JSON: {first['msg'].removeprefix('Invalid JSON: ')}.", code="not_json"
        )
    place = [str(part) for part in first["loc"] if part != "[key]"]  # pydantic's word for the name of an entry
    if place and place[-1] in _ID_KINDS:
        return QueryError("Send a string of 1 to 256 characters or an integer of 64 bits.", ".".join(place[:-1]))
    return QueryError(first["msg"].rstrip(".") + ".", _MEANT.get(first["type"]) or ".".join(place))
