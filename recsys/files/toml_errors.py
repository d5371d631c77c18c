"""Readable errors for mistakes in a TOML file that a pydantic model validates: each names the field and the fix.

A field declares with `wanted` what it accepts. `first_mistake` turns pydantic's first error into one sentence.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

SHOWN_CHARACTERS = 80
"""Characters of a wrong value that a sentence repeats. A longer value is left out."""

_TABLE = {"model_type", "dataclass_type", "dict_type"}
_UNKNOWN = {"extra_forbidden", "unexpected_keyword_argument"}


def parse_toml(data: bytes) -> dict[str, Any]:
    """The entries of a TOML file. ValueError with a sentence if the bytes are not TOML."""
    try:
        return tomllib.loads(data.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("is not valid TOML: it is nested too deep.") from error
    except ValueError as error:  # also UnicodeDecodeError, and int() for a number of thousands of digits
        raise ValueError(f"is not valid TOML: {error}.") from error


def wanted(sentence: str) -> WrapValidator:
    """What a field takes, such as '"drop" or "keep"', in place of pydantic's messages on the field and its parts."""

    def check(value: object, handler: ValidatorFunctionWrapHandler) -> object:
        try:
            return handler(value)
        except ValidationError as error:
            raise PydanticCustomError("wanted", "{wanted}", {"wanted": sentence}) from error

    return WrapValidator(check)


def first_mistake(error: ValidationError, known: Sequence[str], examples: Mapping[str, str] | None = None) -> str:
    """The first mistake as a sentence: the field by its dotted name, its value, and what the field takes.

    known: the dotted names of all fields, for a misspelt name. examples: a value of a missing entry, if that is not a
    text.
    """
    # A misspelt entry first: it is the reason why the right one is missing.
    first = min(error.errors(include_url=False, include_context=False), key=lambda each: each["type"] not in _UNKNOWN)
    name, kind = ".".join(str(part) for part in first["loc"] if part != "[key]"), first["type"]
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    if kind in _UNKNOWN:
        return f"There is no entry {name}. {_suggestion(name, known)}"
    if kind == "missing" and any(each.startswith(f"{name}.") for each in known):
        return f"The section [{name}] is missing."
    if kind == "missing":
        entry = name.rpartition(".")[2]
        example = (examples or {}).get(entry, f'"{entry}"')
        return f"{name} is missing; add a line such as {entry} = {example}."
    if kind == "value_error":
        return f"{name}: {message}." if name else f"{message}."
    shown = shown_value(first["input"])
    if kind == "wanted" or kind in _TABLE:
        takes = message if kind == "wanted" else "a table of fields"
        return f"{name} is {takes}" + (f", not {shown}." if shown else ".")
    return f"{name} is {shown or 'wrong'}; {message.replace('Input should', 'the value should')}."


def field_names(model: type[BaseModel], table: str = "") -> Iterator[str]:
    """The dotted names of a model's fields, those of its tables included."""
    for name, field in model.model_fields.items():
        yield table + name
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from field_names(kind, f"{table}{name}.")


def _suggestion(name: str, known: Sequence[str]) -> str:
    """The known field with the most similar last part, one of the same table first."""
    table, _, entry = name.rpartition(".")
    near = difflib.get_close_matches(entry, {each.rpartition(".")[2] for each in known}, 1)
    if not near:
        here = [each.removeprefix(f"{table}.") for each in known if not table or each.startswith(f"{table}.")]
        entries = dict.fromkeys(f"{each.partition('.')[0]}.*" if "." in each else each for each in here)
        shown = [each for each in entries if each.removesuffix(".*") == each or each.removesuffix(".*") not in entries]
        return f"The entries here are {', '.join(shown)}."
    same_entry = [each for each in known if each.rpartition(".")[2] == near[0]]
    return f"Did you mean {min(same_entry, key=lambda each: each.rpartition('.')[0] != table)}?"


def shown_value(value: object) -> str:
    """A value as a sentence repeats it; empty if the value is long."""
    try:
        shown = str(value).lower() if isinstance(value, bool) else repr(value)
    except ValueError:  # a hexadecimal number of thousands of digits, which Python does not write in decimals
        return ""
    return shown if len(shown) <= SHOWN_CHARACTERS else ""
