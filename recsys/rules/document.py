"""The file of rules: TOML, strict, and every mistake is a sentence that names its field."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StringConstraints,
    ValidationError,
)
from pydantic import model_validator as validates

from recsys.errors import RulesError
from recsys.filters.conditions import TAGS, Condition, Range
from recsys.model.event_types import SeenRule

Name = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=256)]
Item = Annotated[StrictInt, Field(ge=-(2**63), le=2**63 - 1)] | Name
Where = Annotated[Condition, BeforeValidator(lambda told: [told] if isinstance(told, str) else told)]
"""A condition as of a request's filter; a text alone is a set of one."""
Places = Annotated[StrictInt, Field(ge=1, le=100)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Cap(_Table):
    """At most so many items that share a value of a column, in the first `within` places or in all."""

    column: Name
    at_most: Places
    within: Places | None = None


class _Which(_Table):
    where: dict[Name, Where] = Field(default_factory=dict)
    items: list[Item] = Field(default_factory=list)
    by: StrictFloat = Field(gt=0, le=100, allow_inf_nan=False)

    @validates(mode="after")
    def _says_which(self) -> _Which:
        if bool(self.where) == bool(self.items):
            raise ValueError("say which items: either where = {column = value} or items = [ids]")
        return self


class Boost(_Which):
    """Lift items by so many standard deviations of the candidates' scores."""


class Bury(_Which):
    """Lower items likewise."""


class Pin(_Table):
    """Put an item at a place, for everyone or in a context, wherever it may be shown at all."""

    item: Item
    place: Places
    context: dict[Name, Name] = Field(default_factory=dict)


class Quota(_Table):
    """At least so many new items in the first `within` places, as far as there are any."""

    new_within_days: StrictFloat = Field(gt=0, le=3_650, allow_inf_nan=False)
    at_least: Places
    within: Places

    @validates(mode="after")
    def _fits(self) -> Quota:
        if self.at_least > self.within:
            raise ValueError(f"{self.at_least} items don't fit in {self.within} places: at_least is within, or less")
        return self


class Diversity(_Table):
    """Maximal marginal relevance: 0 is relevance alone, 1 unlikeness alone; over the best `among` candidates."""

    weight: StrictFloat = Field(ge=0, le=1, allow_inf_nan=False)
    among: Annotated[StrictInt, Field(ge=1, le=512)] = 100


class Rules(_Table):
    """All rules; the defaults are those of no file."""

    hide_unavailable: StrictBool = True
    exclude_seen: StrictBool | Literal["dataset"] = "dataset"
    cap: list[Cap] = Field(default_factory=list, max_length=16)
    boost: list[Boost] = Field(default_factory=list, max_length=256)
    bury: list[Bury] = Field(default_factory=list, max_length=256)
    pin: list[Pin] = Field(default_factory=list, max_length=32)
    quota: list[Quota] = Field(default_factory=list, max_length=4)
    diversity: Diversity | None = None

    def seen_rule(self, of_dataset: SeenRule) -> SeenRule:
        """Which of a user's past items are left out of slates, given the dataset's own rule."""
        return of_dataset if self.exclude_seen == "dataset" else SeenRule(self.exclude_seen)

    @property
    def plain(self) -> bool:
        """Whether the order of the scores stands."""
        return not (self.cap or self.boost or self.bury or self.pin or self.quota or self.diversity)


def parse(text: str, name: str = "rules.toml") -> Rules:
    """The rules that a file's text says; RulesError names the first wrong field and the fix."""
    try:
        return Rules.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise RulesError(f"{name}: {_sentence(error)}") from error
    except RecursionError as error:
        raise RulesError(f"{name} is not valid TOML: it is nested too deep.") from error
    except ValueError as error:  # of tomllib, and of int() for a number of thousands of digits
        raise RulesError(f"{name} is not valid TOML: {error}.") from error


def _sentence(error: ValidationError) -> str:
    """The first mistake: its field, what stands there, what is wanted."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = _place(first["loc"])
    field = ".".join(place)
    if first["type"] == "extra_forbidden":
        table = Range if place[2:3] == ["where"] else _TABLES.get(place[0] if len(place) > 1 else "", Rules)
        return f"there is no {field}; known are {', '.join(table.model_fields)}."
    if first["type"] == "value_error" or first["type"].startswith("range_"):
        return f"{field}: {first['msg'].removeprefix('Value error, ')}."
    # The first that is known, as a column may be called like a field: where = { place = 3 }.
    wanted = next((WANTED[part] for part in place[1:] if part in WANTED), WANTED[place[0]])
    if first["type"] == "missing":
        return f"{field} is missing; {wanted}."
    return f"{field} is {_as_toml(first['input'])}; {wanted}."


def _place(loc: Sequence[int | str]) -> list[str]:
    """The keys of the file that lead to a mistake, without what pydantic adds: the kind that it tried, or [key]."""
    *before, last = loc
    added = last == "[key]" or (isinstance(last, str) and not _OF_TWO_KINDS.isdisjoint(before))
    return [str(part) or '""' for part in (before if added else loc) if part not in TAGS]


def _as_toml(told: object) -> str:
    try:
        shown = str(told).lower() if isinstance(told, bool) else repr(told)
    except ValueError:  # a hexadecimal number of thousands of digits, which Python does not write in decimals
        return "something else"
    return shown if len(shown) < 80 else "something else"


_OF_TWO_KINDS = {"exclude_seen", "item", "items"}
"""Fields whose mistakes pydantic tells for each kind that they may be."""

_TABLES: dict[str, type[BaseModel]] = {
    "cap": Cap,
    "boost": Boost,
    "bury": Bury,
    "pin": Pin,
    "quota": Quota,
    "diversity": Diversity,
}

_PLACES = "a whole number from 1 to 100 is wanted"

WANTED = {
    "hide_unavailable": "true or false is wanted",
    "exclude_seen": '"dataset", true or false is wanted',
    "cap": "tables are wanted, [[cap]], 16 at the most",
    "boost": "tables are wanted, [[boost]], 256 at the most",
    "bury": "tables are wanted, [[bury]], 256 at the most",
    "pin": "tables are wanted, [[pin]], 32 at the most",
    "quota": "tables are wanted, [[quota]], 4 at the most",
    "diversity": "a table is wanted, [diversity]",
    "column": "the name of a column is wanted, as text",
    "at_most": _PLACES,
    "at_least": _PLACES,
    "within": _PLACES,
    "place": _PLACES,
    "where": 'columns and a condition for each are wanted: { genre = "Drama", price = { lt = 20 }, on_sale = true }',
    "context": 'columns and a value for each are wanted, as text: { device = "mobile" }',
    "items": "ids are wanted, each as text or a whole number",
    "item": "an id is wanted, as text or a whole number",
    "by": "a number above 0 and up to 100 is wanted",
    "new_within_days": "a number of days above 0 and up to 3650 is wanted",
    "weight": "a number from 0 to 1 is wanted",
    "among": "a whole number from 1 to 512 is wanted",
}
"""What each field takes, in words."""
