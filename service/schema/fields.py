"""Types of the fields of requests, such as ids, timestamps and filters, with limits; a boolean is not a number."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from recsys.filters.conditions import Condition

AHEAD_SECONDS = 60
"""How far in the future a timestamp may lie: clocks differ."""

Id = Annotated[
    Annotated[int, Field(strict=True, ge=-(2**63), le=2**63 - 1)]
    | Annotated[str, StringConstraints(strict=True, min_length=1, max_length=256)],
    Field(description="A string or an integer, as in the interactions log."),
]
EventType = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64)]
EventId = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=128)]
Category = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=256)]
SurfaceName = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=32),
    Field(
        description="The place of the product that shows the items, such as home: a table of the file of surfaces, "
        "which has its own mode, number of items, deadline and rules."
    ),
]
ColumnName = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64)]
Context = Annotated[
    dict[ColumnName, Annotated[str, StringConstraints(strict=True, max_length=256)]],
    Field(
        max_length=8,
        description="The context of the request: values of the dataset's context columns, such as "
        '{"device": "mobile"}. A value that training did not see, or a column that is left out, counts as unknown.',
    ),
]

ExperimentName = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=32)]
Arms = Annotated[
    dict[ExperimentName, ExperimentName],
    Field(
        max_length=8,
        description='The user\'s arm by experiment, such as {"checkout": "new"}, from a flag system of your own. Only '
        'for experiments with assignment = "caller"; the others assign users by their salt.',
    ),
]


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


def _seconds(value: object) -> object:
    """Unix seconds of an ISO 8601 time; any other value as it is."""
    if not isinstance(value, str):
        return value
    try:
        parsed = datetime.fromisoformat(value.upper())
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None:  # the server does not know the shop's time zone
        raise PydanticCustomError(
            "iso_time", "Send unix seconds or an ISO 8601 time with its offset, as in 2026-11-30T08:15:00Z"
        )
    return parsed.timestamp()


def _not_ahead(seconds: float) -> float:
    if seconds > time.time() + AHEAD_SECONDS:  # milliseconds, for example
        raise PydanticCustomError(
            "future", "The timestamp lies in the future; send unix seconds, or an ISO 8601 time with its offset"
        )
    return seconds


Timestamp = Annotated[
    float,
    Field(strict=True, ge=0, allow_inf_nan=False),
    BeforeValidator(_seconds),
    AfterValidator(_not_ahead),
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
