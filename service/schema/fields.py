"""The types of values in requests. Strict: a boolean is not a number."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from operator import index
from typing import Annotated, Any, SupportsIndex

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    StrictInt,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from recsys.conditions import Condition


def _index(value: object) -> int:
    """The value of an integer of numpy or pandas; ValueError for any other value."""
    # Strings come here too. The check for the method takes ten times as long as the check of the class.
    if isinstance(value, bool | str) or not isinstance(value, SupportsIndex):
        raise ValueError
    try:
        return index(value)
    except TypeError as error:
        raise ValueError from error  # an array has the method too


Id = Annotated[
    Annotated[StrictInt, Field(ge=-(2**63), le=2**63 - 1)]
    | Annotated[str, StringConstraints(strict=True, min_length=1, max_length=256)]
    # Last: no value of JSON gets this far.
    | SkipJsonSchema[Annotated[int, Field(ge=-(2**63), le=2**63 - 1), BeforeValidator(_index)]],
    Field(description="A string or an integer, as in the interactions log."),
]
EventType = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64)]
Context = Annotated[
    dict[
        Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64)],
        Annotated[str, StringConstraints(strict=True, max_length=256)],
    ],
    Field(
        max_length=8,
        description="The context of the request: values of the dataset's context columns, such as "
        '{"device": "mobile"}. A value that training did not see, or a column that is left out, counts as unknown.',
    ),
]
Category = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=256)]
ColumnName = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64)]


def _column_value(value: object) -> object:
    if isinstance(value, bool) or (isinstance(value, str) and len(value) <= 256):
        return value
    if isinstance(value, (int, float)) and abs(value) <= 2**63:  # false for NaN
        # A categorical column compares text, where 3 and 3.0 differ. gRPC has doubles alone: 3 arrives as 3.0.
        return int(value) if isinstance(value, float) and value.is_integer() else value
    raise PydanticCustomError(
        "column_value", "Send a string of at most 256 characters, a finite number of 64 bits, or true or false"
    )


ColumnValue = Annotated[
    Any,
    PlainValidator(_column_value),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "maxLength": 256},
                {"type": "number", "minimum": -(2**63), "maximum": 2**63},
                {"type": "boolean"},
            ]
        }
    ),
]
_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)


def _seconds(value: object) -> object:
    """Unix seconds of an ISO 8601 time; any other value as it is."""
    if not isinstance(value, str):
        return value
    found = _ISO_TIME.fullmatch(value)
    if found and not found[3]:
        # The server does not know the shop's time zone. A wrong guess would shift every event by hours.
        raise PydanticCustomError("no_offset", "Add the offset from UTC to the time, as in 2026-11-30T09:15:00+01:00")
    with suppress(ValueError):
        if found:
            return datetime.fromisoformat(value.upper()).timestamp()
    raise PydanticCustomError(
        "iso_time", "Send unix seconds or an ISO 8601 time with its offset, as in 2026-11-30T08:15:00Z"
    )


Timestamp = Annotated[
    float,
    Field(strict=True, ge=0, allow_inf_nan=False),
    BeforeValidator(_seconds),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "format": "date-time"}]}),
]
"""Unix seconds; JSON may hold an ISO 8601 time instead."""
Filter = Annotated[
    dict[ColumnName, Condition],
    Field(
        max_length=8,
        description="Show only items that meet every condition, such as "
        '{"categories": ["Drama"], "price": {"gte": 5, "lt": 20}, "on_sale": true}: one of these values, a number '
        "within a range, or true or false. The columns are those that describe items in the dataset. An item without a "
        "value meets no condition. A text that no item has is an error.",
    ),
]
