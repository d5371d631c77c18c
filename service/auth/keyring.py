"""The file of keys: TOML, strict, and every mistake is a sentence that names the field and never repeats a value."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from hmac import compare_digest
from typing import Annotated

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from recsys.errors import SettingsError
from service.auth import key
from service.schema.verdict import NAME_CHARACTERS

MAX_KEYS = 1000

SHORT = 32
"""A name with fewer characters is no key, and may be told."""

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


class Scope(StrEnum):
    """What a key is for; none implies another."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a key. name: whom it was given to; several may have one, while one replaces the other.

    digest: of the key, 32 bytes. users: how the ids of users begin that it is for, "" for all. expires: unix seconds.
    interval: seconds between requests at its rate, 0 for as many as there are; tolerance: seconds by which they may run
    ahead of it, which is its burst.
    """

    id: str
    name: str
    digest: bytes
    scopes: frozenset[Scope]
    users: str = ""
    expires: float = math.inf
    interval: float = 0.0
    tolerance: float = 0.0

    def covers(self, user_id: int | str) -> bool:
        """Whether it is for this user; 7 and "7" are the same one."""
        return str(user_id).startswith(self.users)


class Keyring:
    """The keys in force."""

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        self.entries = tuple(entries)
        self._by_id = {entry.id: entry for entry in entries}

    def find(self, sent: bytes) -> Entry | None:
        """The entry of the key that somebody sent, expired or not; an unknown id takes the same time as a wrong key."""
        entry = self._by_id.get(key.id_of(sent), _NOBODY)
        right = compare_digest(key.digest(sent), entry.digest)
        return entry if right and entry is not _NOBODY else None


_NOBODY = Entry("", "", bytes(32), frozenset())


def _moment(told: object) -> datetime:
    """The beginning of a day by UTC, or a moment with its offset."""
    with suppress(ValueError):
        if isinstance(told, str):
            told = date.fromisoformat(told) if len(told) == len("2027-01-01") else datetime.fromisoformat(told)
        if isinstance(told, date) and not isinstance(told, datetime):
            told = datetime.combine(told, time(), UTC)
        if isinstance(told, datetime) and told.tzinfo is not None:
            return told
    raise PydanticCustomError("moment", "not a moment")


class KeyRecord(BaseModel):
    """A key as the file tells it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, StringConstraints(strict=True, pattern=r"^[a-z0-9]{4,32}$")]
    name: Annotated[str, StringConstraints(strict=True, pattern=f"^{NAME}$")]
    sha256: Annotated[str, StringConstraints(strict=True, pattern="^[0-9a-f]{64}$")]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=3)]
    rate: Annotated[float, Field(strict=True, gt=0, le=1e6, allow_inf_nan=False)] | None = None
    burst: Annotated[StrictInt, Field(ge=1, le=1_000_000)] | None = None
    users: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=256)] | None = None
    expires: Annotated[datetime, BeforeValidator(_moment)] | None = None
    created: Annotated[datetime, BeforeValidator(_moment)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> KeyRecord:
        if self.users is not None and self.users[-1].isalnum():  # "shop-1" begins the users of shop-10, too
            raise ValueError("users ends in a letter or a digit; end it with a separator, as in shop-1:")
        if self.burst is not None and self.rate is None:
            raise ValueError("burst is there without rate; say how many requests a second, too")
        return self

    @property
    def allowed_burst(self) -> int:
        """Requests at once; one second's, where the file does not say."""
        return self.burst or max(1, math.ceil(self.rate or 1))

    def entry(self) -> Entry:
        """What a door needs of it."""
        interval = 1 / self.rate if self.rate else 0.0
        return Entry(
            id=self.id,
            name=self.name,
            digest=bytes.fromhex(self.sha256),
            scopes=frozenset(self.scopes),
            users=self.users or "",
            expires=self.expires.timestamp() if self.expires else math.inf,
            interval=interval,
            tolerance=(self.allowed_burst - 1) * interval,
        )


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    key: Annotated[list[KeyRecord], Field(max_length=MAX_KEYS)] = Field(default_factory=list)


def parse(text: str, name: str = "keys.toml") -> list[KeyRecord]:
    """The keys that a file's text tells; SettingsError names the first wrong field and what is wanted."""
    try:
        told = _Document.model_validate(tomllib.loads(text)).key
    except ValidationError as error:
        raise SettingsError(f"{name}: {first_fault(error)}") from None  # the values it would show may be keys
    except (RecursionError, ValueError) as error:
        why = "it is nested too deep" if isinstance(error, RecursionError) else key.redacted(str(error))
        raise SettingsError(f"{name} is not valid TOML: {why}.") from None
    ids = [each.id for each in told]
    if twice := next((each for each in ids if ids.count(each) > 1), None):
        raise SettingsError(f"{name}: the id {twice} is there twice; an id is one key's.")
    return told


def first_fault(error: ValidationError) -> str:
    """The first mistake: its field and what is wanted; what stands there may be a key, and is not told."""
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
    wanted = next((WANTED[part] for part in place if part in WANTED and part != "key"), WANTED["key"])
    return f"{field} {verb}; {wanted}."


WANTED = {
    "key": f"tables are wanted, [[key]], {MAX_KEYS} at the most",
    "id": "4 to 32 small letters or digits are wanted, those that stand in the key",
    "name": "up to 64 letters, digits, dots, dashes or underscores are wanted",
    "sha256": "the 64 hexadecimal digits that the key hashes to are wanted",
    "scopes": f"a list of {', '.join(Scope)} is wanted",
    "rate": "a number of requests a second is wanted, above 0 and up to 1000000",
    "burst": "a whole number of requests from 1 to 1000000 is wanted",
    "users": "what the ids of its users begin with is wanted, as text",
    "expires": "a day (2027-01-01, by UTC) or a moment with its offset is wanted",
    "created": "a day (2027-01-01, by UTC) or a moment with its offset is wanted",
}
