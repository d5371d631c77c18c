"""The file of business rules (rules.toml): its fields, a parser that explains each mistake, and the watched file.

Servers and flows read it. An error is a sentence that names the wrong field and what is expected.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

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
from recsys.files.toml_errors import parse_toml, shown_value, wanted
from recsys.files.watched_file import WatchedFile, file_state
from recsys.filters.conditions import TAGS, Condition, Range
from recsys.model.event_types import SeenRule

Name = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=256)]
Item = Annotated[
    Annotated[StrictInt, Field(ge=-(2**63), le=2**63 - 1)] | Name, wanted("an id is wanted, as text or a whole number")
]
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
    exclude_seen: Annotated[StrictBool | Literal["dataset"], wanted('"dataset", true or false is wanted')] = "dataset"
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
        raise RulesError(f"{name}: {first_mistake(error)}") from error
    except ValueError as error:
        raise RulesError(f"{name} {error}") from error


def first_mistake(error: ValidationError) -> str:
    """The first mistake in a table of rules as a sentence: the field, its value and what is wrong."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = [str(part) or '""' for part in first["loc"] if part not in TAGS]
    field, message = ".".join(place), first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"{field} is missing."
    if first["type"] == "extra_forbidden":
        table = Rules if len(place) == 1 else get_args(Rules.model_fields[place[0]].annotation)[0]
        known = (Range if place[2:3] == ["where"] else table).model_fields
        return f"there is no {field}; known are {', '.join(known)}."
    if first["type"] == "wanted" or message.startswith("Input"):
        shown = shown_value(first["input"]) or "something else"
        return f"{field} is {shown}; {message.replace('Input should', 'the value should')}."
    return f"{field}: {message}."


class RulesFile(WatchedFile[Rules]):
    """The rules in force; the defaults if there is no file.

    RulesError if the file is wrong at the first read, or named and missing. last: see `WatchedFile`.
    """

    noun, error, may_be_empty = "rules", RulesError, True

    def __init__(self, path: Path, named: bool = False, last: Path | None = None) -> None:
        if named and file_state(path) is None:
            raise RulesError(f"There is no file {path}, which TANDEM_RULES or --rules names.")
        super().__init__(path, last)

    def parse(self, text: str) -> Rules:
        """Parse the text."""
        return parse(text, self.path.name)

    def empty(self) -> Rules:
        """The defaults."""
        return Rules()

    def text_if_missing(self) -> str:
        """A missing file has no rules."""
        return ""
