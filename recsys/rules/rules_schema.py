"""The schema of the file of business rules (rules.toml): its fields, and a parser that explains each mistake.

The error is a sentence that names the wrong field and the fix.
"""

from __future__ import annotations

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
from recsys.files.toml_errors import parse_toml, shown_value
from recsys.filters.conditions import TAGS, Condition, Range
from recsys.model.event_types import SeenRule

Name = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=256)]
Item = Annotated[StrictInt, Field(ge=-(2**63), le=2**63 - 1)] | Name
Where = Annotated[Condition, BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]
"""A condition, as in the filter of a request. A text is a set of one value."""
Places = Annotated[StrictInt, Field(ge=1, le=100)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Cap(_Table):
    """At most so many items with the same value of a column, in the first `within` places or in all."""

    column: Name
    at_most: Places
    within: Places | None = None


class _Which(_Table):
    where: dict[Name, Where] = Field(default_factory=dict)
    items: list[Item] = Field(default_factory=list)
    by: StrictFloat = Field(gt=0, le=100, allow_inf_nan=False)

    @validates(mode="after")
    def _check_choice(self) -> _Which:
        if bool(self.where) == bool(self.items):
            raise ValueError("say which items: either where = {column = value} or items = [ids]")
        return self


class Boost(_Which):
    """Raise the scores of items by so many standard deviations of the candidates' scores."""


class Bury(_Which):
    """Lower the scores of items by so many standard deviations of the candidates' scores."""


class Pin(_Table):
    """Put an item at a place, for all queries or in a context, if filters allow the item."""

    item: Item
    place: Places
    context: dict[Name, Name] = Field(default_factory=dict)


class Quota(_Table):
    """At least so many new items in the first `within` places, if the catalogue has them."""

    new_within_days: StrictFloat = Field(gt=0, le=3_650, allow_inf_nan=False)
    at_least: Places
    within: Places

    @validates(mode="after")
    def _check_places(self) -> Quota:
        if self.at_least > self.within:
            raise ValueError(f"{self.at_least} items don't fit in {self.within} places: at_least is within, or less")
        return self


class Diversity(_Table):
    """Maximal marginal relevance of the best `among` candidates: weight 0 is relevance alone, 1 dissimilarity alone."""

    weight: StrictFloat = Field(ge=0, le=1, allow_inf_nan=False)
    among: Annotated[StrictInt, Field(ge=1, le=512)] = 100


class Rules(_Table):
    """All rules. The defaults are in force without a file."""

    hide_unavailable: StrictBool = True
    exclude_seen: StrictBool | Literal["dataset"] = "dataset"
    cap: list[Cap] = Field(default_factory=list, max_length=16)
    boost: list[Boost] = Field(default_factory=list, max_length=256)
    bury: list[Bury] = Field(default_factory=list, max_length=256)
    pin: list[Pin] = Field(default_factory=list, max_length=32)
    quota: list[Quota] = Field(default_factory=list, max_length=4)
    diversity: Diversity | None = None

    def seen_rule(self, of_dataset: SeenRule) -> SeenRule:
        """The rule on seen items: the dataset's own unless the file has another."""
        return of_dataset if self.exclude_seen == "dataset" else SeenRule(self.exclude_seen)

    @property
    def plain(self) -> bool:
        """Whether no rule changes the order of the scores."""
        return not (self.cap or self.boost or self.bury or self.pin or self.quota or self.diversity)


def parse(text: str, name: str = "rules.toml") -> Rules:
    """Parse the text of a file; RulesError names the first wrong field and the fix."""
    try:
        return Rules.model_validate(parse_toml(text.encode()))
    except ValidationError as error:
        raise RulesError(f"{name}: {_sentence(error)}") from error
    except ValueError as error:
        raise RulesError(f"{name} {error}") from error


def _sentence(error: ValidationError) -> str:
    """The first mistake as a sentence: the field, its value and what is wanted."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = _place(first["loc"])
    field = ".".join(place)
    if first["type"] == "extra_forbidden":
        table = Range if place[2:3] == ["where"] else _TABLES.get(place[0] if len(place) > 1 else "", Rules)
        return f"there is no {field}; known are {', '.join(table.model_fields)}."
    if first["type"] == "value_error" or first["type"].startswith("range_"):
        return f"{field}: {first['msg'].removeprefix('Value error, ')}."
    # The first known field: a column may have the name of a field, as in where = { place = 3 }.
    wanted = next((WANTED[part] for part in place[1:] if part in WANTED), WANTED[place[0]])
    if first["type"] == "missing":
        return f"{field} is missing; {wanted}."
    return f"{field} is {shown_value(first['input']) or 'something else'}; {wanted}."


def _place(loc: Sequence[int | str]) -> list[str]:
    """The keys in the file of a mistake, without those that pydantic adds: the type that it tried, or [key]."""
    *before, last = loc
    added = last == "[key]" or (isinstance(last, str) and not _OF_TWO_TYPES.isdisjoint(before))
    return [str(part) or '""' for part in (before if added else loc) if part not in TAGS]


_OF_TWO_TYPES = {"exclude_seen", "item", "items"}
"""Fields with a choice of types. Pydantic reports a mistake for each type."""

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
"""The values that each field accepts, in words."""
