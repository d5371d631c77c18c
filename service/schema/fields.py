"""The kinds of values that requests are made of. Strict: a boolean is no number."""

from __future__ import annotations

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


def _index(value: object) -> int:
    """What numpy and pandas call an integer; ValueError for anything else."""
    # A string is asked for here, too, each time; to look for a method takes ten times as long as to look at its class.
    if isinstance(value, bool | str) or not isinstance(value, SupportsIndex):
        raise ValueError
    try:
        return index(value)
    except TypeError as error:
        raise ValueError from error  # an array has the method, too


Id = Annotated[
    Annotated[StrictInt, Field(ge=-(2**63), le=2**63 - 1)]
    | Annotated[str, StringConstraints(strict=True, min_length=1, max_length=256)]
    # Last: nothing that JSON has gets as far as this.
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
        description="In what context this is asked: a value for any of the dataset's context columns, such as "
        '{"device": "mobile"}. A value that training never saw counts as unknown, as does a column left out.',
    ),
]
Category = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=256)]
ColumnName = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64)]


def _column_value(value: object) -> object:
    if isinstance(value, str) and len(value) <= 256:
        return value
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and abs(value) <= 2**63:  # type: ignore[arg-type]  # a NaN is not, and is refused with the rest
        # A categorical column knows a number by its letters: 3.0 is 3, as a message that has but doubles says it.
        return int(value) if isinstance(value, float) and value.is_integer() else value
    raise PydanticCustomError("column_value", "Send a string of at most 256 characters or a finite number of 64 bits")


ColumnValue = Annotated[
    Any,
    PlainValidator(_column_value),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "maxLength": 256}, {"type": "number", "minimum": -(2**63), "maximum": 2**63}]}
    ),
]
Timestamp = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
FilterValue = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=256)]
Filter = Annotated[
    dict[ColumnName, Annotated[list[FilterValue], Field(min_length=1, max_length=64)]],
    Field(
        max_length=8,
        description="Show only items with one of these values in each column named, such as "
        '{"categories": ["Drama"]}. The columns are the categorical ones that describe items in the dataset. A value '
        "that no item has is an error.",
    ),
]
