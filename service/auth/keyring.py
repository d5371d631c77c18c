"""The validated records of the file of API keys, and the keyring that finds the record of a presented key.

An error names the field and what is expected. It repeats no value: a value may be a key in the wrong place.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time
from functools import cached_property
from hmac import compare_digest
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from recsys.errors import SettingsError
from service.auth import key
from service.schema.errors import NAME_CHARACTERS
from service.schema.verb_table import Scope

MAX_KEYS = 1000

SHORT = 32
"""Characters. A shorter field name is no key, and an error may repeat it."""

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


def _timestamp(value: object) -> datetime:
    """The start of a day in UTC, or a time with its offset."""
    with suppress(ValueError):
        if isinstance(value, str):
            value = date.fromisoformat(value) if len(value) == len("2027-01-01") else datetime.fromisoformat(value)
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.combine(value, time(), UTC)
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value
    raise PydanticCustomError("timestamp", "not a time")


Timestamp = Annotated[datetime, BeforeValidator(_timestamp)]
WRITE_TIME = "write a day (2027-01-01, in UTC) or a time with its offset"


class KeyRecord(BaseModel):
    """A key in force, as the file has it. Two keys have one name while one replaces the other.

    An error has the description of the field: the text to write.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(
        strict=True,
        pattern=r"^[a-z0-9]{4,32}$",
        description="write the 4 to 32 lower-case letters or digits of the key's id",
    )
    name: str = Field(
        strict=True, pattern=f"^{NAME}$", description="write up to 64 letters, digits, dots, dashes or underscores"
    )
    sha256: str = Field(
        strict=True, pattern="^[0-9a-f]{64}$", description="write the 64 hexadecimal digits of the key's SHA-256"
    )
    scopes: list[Scope] = Field(min_length=1, max_length=3, description=f"write a list of {', '.join(Scope)}")
    rate: float | None = Field(
        None,
        strict=True,
        gt=0,
        le=1e6,
        allow_inf_nan=False,
        description="write a number of requests a second, above 0 and up to 1000000",
    )
    burst: int | None = Field(
        None, strict=True, ge=1, le=1_000_000, description="write a whole number of requests from 1 to 1000000"
    )
    users: str | None = Field(
        None, strict=True, min_length=1, max_length=256, description="write the prefix of its users' ids, as text"
    )
    expires: Timestamp | None = Field(None, description=WRITE_TIME)
    created: Timestamp | None = Field(None, description=WRITE_TIME)

    @model_validator(mode="after")
    def _fits(self) -> KeyRecord:
        if self.users is not None and self.users[-1].isalnum():  # "shop-1" begins the users of shop-10, too
            raise ValueError("users ends in a letter or a digit; end it with a separator, as in shop-1:")
        if self.burst is not None and self.rate is None:
            raise ValueError("burst is set without rate; set the requests a second too")
        return self

    @cached_property
    def digest(self) -> bytes:
        """The key's hash, 32 bytes."""
        return bytes.fromhex(self.sha256)

    @cached_property
    def end(self) -> float:
        """When the key expires, in unix seconds."""
        return self.expires.timestamp() if self.expires else math.inf

    @cached_property
    def allowed_burst(self) -> int:
        """Requests at once; by default as many as in one second."""
        return self.burst or max(1, math.ceil(self.rate or 1))

    @cached_property
    def interval(self) -> float:
        """Seconds between requests at the key's rate, 0 for no limit."""
        return 1 / self.rate if self.rate else 0.0

    @cached_property
    def tolerance(self) -> float:
        """Seconds by which requests may be ahead of the rate: the burst in seconds."""
        return (self.allowed_burst - 1) * self.interval

    def covers(self, user_id: int | str) -> bool:
        """Whether the key may name this user; 7 and "7" are the same user."""
        return str(user_id).startswith(self.users or "")


class Keyring:
    """The keys in force."""

    def __init__(self, records: Sequence[KeyRecord] = ()) -> None:
        self.records = tuple(records)
        self._by_id = {each.id: each for each in records}

    def find(self, presented: bytes) -> KeyRecord | None:
        """The record of a presented key, expired or not. An unknown id takes the same time as a wrong secret."""
        found = self._by_id.get(key.id_of(presented))
        matches = compare_digest(key.digest(presented), found.digest if found else bytes(32))
        return found if matches else None


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    key: Annotated[list[KeyRecord], Field(max_length=MAX_KEYS)] = Field(default_factory=list)


def parse(text: str, path: str = "keys.toml") -> list[KeyRecord]:
    """The records of a file's text; SettingsError names the first wrong field and what is expected."""
    try:
        records = _Document.model_validate(tomllib.loads(text)).key
    except ValidationError as error:
        raise SettingsError(f"{path}: {first_fault(error)}") from None  # pydantic's message shows values
    except (RecursionError, ValueError) as error:
        why = "it is nested too deep" if isinstance(error, RecursionError) else key.redacted(str(error))
        raise SettingsError(f"{path} is not valid TOML: {why}.") from None
    ids = [each.id for each in records]
    if twice := next((each for each in ids if ids.count(each) > 1), None):
        raise SettingsError(f"{path}: the id {twice} is there twice; each key needs its own id.")
    return records


def first_fault(error: ValidationError) -> str:
    """A sentence on the first fault: its field and what is expected, without the value."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = [str(part)[:NAME_CHARACTERS] for part in first["loc"]]
    field = ".".join(place)
    if first["type"] == "extra_forbidden":
        known = (KeyRecord if len(place) > 1 else _Document).model_fields
        named = field if len(place[-1]) < SHORT else "field of a name that long"
        return f"there is no {named}; known are {', '.join(known)}."
    if first["msg"].startswith("Value error, "):
        return f"{field}: {first['msg'].removeprefix('Value error, ')}.".removeprefix(": ")
    verb = "is missing" if first["type"] == "missing" else "is wrong"
    wanted = (KeyRecord.model_fields[part].description for part in place if part in KeyRecord.model_fields)
    return f"{field} {verb}; {next(wanted, f'write tables, [[key]], at most {MAX_KEYS}')}."
