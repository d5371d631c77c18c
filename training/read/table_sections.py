"""The sections [interactions] and [items] of a `dataset.toml`, which name a dataset's tables and their columns, as
strict pydantic models.

Each field has a sentence on the values that it takes, so that a mistake becomes an error with the field and the fix.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    model_validator,
)

from recsys.files.toml_errors import wanted
from recsys.model.feature_spec import OWN_COLUMNS
from recsys.types import CONTEXTS
from recsys.yes_no import plain
from training.read.times import FORMATS, require_format

OWN_NAMES = ("item_id", "title", "categories", "available")
"""Names of columns of the items table in Tandem. No further column of the file may have one of these names."""

ONE_COLUMN = {"user_id", "item_id", "timestamp", "event_type", "value", "title", "categories", "available"}
SEVERAL_COLUMNS = {"context", "categorical", "numeric", "boolean"}
"""Entries that name a column, and entries that list columns."""

CONTEXT = "context."
"""Prefix of a context column's name, so that the name differs from all of Tandem's names."""

AnyText = Annotated[str, StringConstraints(strict=True, min_length=1)]
Text = Annotated[AnyText, wanted("one text that is not empty")]
Columns = Annotated[tuple[AnyText, ...], wanted('a list of columns of the items table, such as ["brand"]')]
Context = Annotated[
    tuple[AnyText, ...],
    Field(max_length=CONTEXTS),
    wanted(f'a list of at most {CONTEXTS} columns of the interactions table, such as ["device", "country"]'),
]
Truths = Annotated[
    dict[str, StrictBool],
    wanted('true or false for each word, such as { "preorder" = true, "discontinued" = false }'),
]
Format = Annotated[str, AfterValidator(require_format), wanted(FORMATS)]
Zone = Annotated[ZoneInfo, wanted('the name of a time zone such as "Europe/Berlin" or "UTC"')]
Decimal = Annotated[Literal[".", ","], wanted('"." or ","')]
Duplicates = Annotated[Literal["drop", "keep"], wanted('"drop" or "keep"')]


class Section(BaseModel):
    """A section of a `dataset.toml`; an unknown entry is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def require_one_meaning(entries: Iterable[tuple[str, str]], what: str) -> None:
    """ValueError if two of the (entry, name) pairs have the same name."""
    meanings: dict[str, str] = {}
    for entry, name in entries:
        if name in meanings:
            raise ValueError(
                f"both {meanings[name]} and {entry} name the {what} '{name}', which has one meaning: delete one of the "
                "two"
            )
        meanings[name] = entry


class Table(Section):
    """A section that names a file and its columns: in one entry each, or in a list of columns."""

    file: Text

    def entries(self) -> Iterator[tuple[str, str, str]]:
        """Each entry that names a column: the entry, Tandem's name of the column, and the file's."""
        for entry, value in self:
            if entry in ONE_COLUMN and value is not None:
                yield entry, entry, value
            elif entry in SEVERAL_COLUMNS:
                yield from ((entry, CONTEXT + column if entry == "context" else column, column) for column in value)

    @model_validator(mode="after")
    def _one_meaning_each(self) -> Self:
        require_one_meaning(((entry, column) for entry, _, column in self.entries()), "column")
        return self

    @property
    def columns(self) -> dict[str, str]:
        """The file's name of each of Tandem's columns."""
        return {ours: theirs for _, ours, theirs in self.entries()}

    @property
    def typed(self) -> bool:
        """Whether the file has a type for each column: Parquet has, CSV has not."""
        return self.file.endswith(("/", ".parquet"))


NO_FILE = "collected events"
"""The `file` of a dataset that has collected events alone. Errors name it as the place of a column."""

COLLECTED_COLUMNS = {name: name for name in ("user_id", "item_id", "timestamp", "event_type")}


class Collected(Section):
    """The section [collected]: whether events that `/events` received are added to the log, and whether the ranker
    trains on slates that users were shown.
    """

    events: Annotated[StrictBool, wanted("true or false, without quotes")] = False
    impressions: Annotated[StrictBool, wanted("true or false, without quotes")] = False


class Features(Section):
    """The section [features]: columns of the items table that are features of the ranker."""

    items: Annotated[
        tuple[AnyText, ...],
        Field(max_length=OWN_COLUMNS),
        wanted(f'a list of at most {OWN_COLUMNS} columns in numeric or boolean of [items], such as ["price"]'),
    ] = ()


class Interactions(Table):
    """The section [interactions]: the file of events, its columns, and how they are read."""

    user_id: Text
    item_id: Text
    timestamp: Text
    event_type: Text | None = None
    value: Text | None = None
    context: Context = ()
    timestamp_format: Format | None = None
    timezone: Zone | None = None
    decimal: Decimal = "."
    duplicates: Duplicates = "drop"
    exact_times: Annotated[StrictBool, wanted("true or false, without quotes")] = True

    @property
    def has_file(self) -> bool:
        """Whether the dataset has a file of interactions."""
        return self.file != NO_FILE


class Items(Table):
    """The section [items]: the file of items, its columns, and how they are read."""

    item_id: Text
    title: Text | None = None
    categories: Text | None = None
    separator: Text = "|"
    available: Text | None = None
    available_values: Truths = Field(default_factory=dict)
    categorical: Columns = ()
    numeric: Columns = ()
    boolean: Columns = ()
    decimal: Decimal = "."

    @property
    def described_by(self) -> tuple[str, ...]:
        """The file's further columns that describe an item."""
        return self.categorical + self.numeric + self.boolean

    @property
    def content(self) -> tuple[str, ...]:
        """The columns that describe an item, in the order of their tokens."""
        return ("categories",) * (self.categories is not None) + self.described_by

    @model_validator(mode="after")
    def _own_names(self) -> Self:
        for column in self.described_by:
            if column in OWN_NAMES:
                raise ValueError(
                    f"'{column}' is a name that Tandem gives to another column. Rename this column in the file"
                )
        return self

    @model_validator(mode="after")
    def _one_truth_each(self) -> Self:
        written: dict[str, str] = {}
        for word, meaning in self.available_values.items():
            first = written.setdefault(plain(word), word)
            if self.available_values[first] != meaning:
                raise ValueError(
                    f'available_values gives "{first}" and "{word}" different truths, and they are one word: case, '
                    "spaces, _ and - do not matter. Keep one of the two"
                )
        return self
