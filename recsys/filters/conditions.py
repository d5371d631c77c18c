"""Schema of a condition on an item column, in a filter or a business rule: a list of values, a range or a boolean.

Pydantic validates it. For example, the filter `{"categories": ["Drama"], "price": {"lt": 20}}` has two conditions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, PlainValidator, StrictBool, Tag, WithJsonSchema
from pydantic import model_validator as validates
from pydantic_core import PydanticCustomError

VALUES = 64
"""Values of one set, at most."""

SHOWN = 5
"""Values of a set that a sentence names."""

LARGEST_NUMBER = 2**63
"""A number of a set is an integer of 64 bits or a float of the same size."""

TAGS = frozenset({"condition:set", "condition:truth", "condition:range"})
"""The names that pydantic gives the alternatives of `Condition` in error locations. They are no fields."""


def _value(value: object) -> object:
    if isinstance(value, str) and 1 <= len(value) <= 256:
        return value
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and abs(value) <= LARGEST_NUMBER:  # type: ignore[arg-type]  # false for NaN
        # A text column names the number 3 as "3". A gRPC message has doubles alone: there 3 comes as 3.0.
        return int(value) if isinstance(value, float) and value.is_integer() else value
    raise PydanticCustomError(
        "filter_value",
        "A list holds texts of 1 to 256 characters and finite numbers of 64 bits; send true or false without a list",
    )


Value = Annotated[
    Any,
    PlainValidator(_value),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": 256},
                {"type": "number", "minimum": -LARGEST_NUMBER, "maximum": LARGEST_NUMBER},
            ]
        }
    ),
]

Bound = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class Range(BaseModel):
    """Numbers between bounds: at least one bound, at most one at each end."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"minProperties": 1})

    lt: Bound | None = Field(None, description="Below this number.")
    lte: Bound | None = Field(None, description="This number or below.")
    gt: Bound | None = Field(None, description="Above this number.")
    gte: Bound | None = Field(None, description="This number or above.")

    @validates(mode="after")
    def _holds_numbers(self) -> Range:
        if (self.lt is not None and self.lte is not None) or (self.gt is not None and self.gte is not None):
            raise PydanticCustomError("range_twice", "Send lt or lte, not both, and gt or gte, not both")
        low = self.gte if self.gt is None else self.gt
        high = self.lte if self.lt is None else self.lt
        if low is None and high is None:
            raise PydanticCustomError("range_open", "Send at least one of lt, lte, gt and gte")
        closed = self.gt is None and self.lt is None
        if low is not None and high is not None and not (low < high or (closed and low == high)):
            raise PydanticCustomError(
                "range_empty", "No number lies in this range; let the lower bound be below the upper"
            )
        return self

    @property
    def words(self) -> str:
        """The bounds, such as `>= 5 and < 20`."""
        signs = {">": self.gt, ">=": self.gte, "<": self.lt, "<=": self.lte}
        return " and ".join(f"{sign} {plain_number(bound)}" for sign, bound in signs.items() if bound is not None)


def plain_number(number: float) -> str:
    """A number without a needless `.0`."""
    return str(int(number)) if number == int(number) and abs(number) < 1e15 else repr(number)


def _kind(condition: object) -> str | None:
    if isinstance(condition, bool):
        return "condition:truth"
    if isinstance(condition, (list, tuple)):
        return "condition:set"
    return "condition:range" if isinstance(condition, (Mapping, Range)) else None


Condition = Annotated[
    Annotated[list[Value], Field(min_length=1, max_length=VALUES), Tag("condition:set")]
    | Annotated[StrictBool, Tag("condition:truth")]
    | Annotated[Range, Tag("condition:range")],
    Discriminator(
        _kind,
        custom_error_type="condition",
        custom_error_message='Send a list of values, a range such as {"gte": 5, "lt": 20}, or true or false',
    ),
]


Stated = Sequence[str | int | float] | bool | Range
"""A validated condition."""


def in_words(column: str, condition: Stated) -> str:
    """A condition on a column in words."""
    if isinstance(condition, Range):
        return f"{column} {condition.words}"
    if isinstance(condition, bool):
        return f"{column} {values_in_words([condition])}"
    return f"{column} among {values_in_words(condition)}"


def values_in_words(values: Sequence[object]) -> str:
    """The first few of some values."""
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return ", ".join(map(_in_words, values[:SHOWN])) + more


def _in_words(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return plain_number(value) if isinstance(value, float) else str(value)
