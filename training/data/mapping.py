"""A `dataset.toml`: where the tables of a dataset are, and which of their columns mean what."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recsys.errors import DatasetError
from recsys.model.event_types import EventRules, SeenRule
from recsys.types import CONTEXTS
from recsys.yes_no import plain
from training.data import event_section
from training.data.locations import Location, failed
from training.data.numbers import decimal_of
from training.data.times import TimeFormat
from training.options import training_config

MAPPING = "dataset.toml"

ENTRIES = {
    "interactions": {
        *("file", "user_id", "item_id", "timestamp", "event_type", "value", "context"),
        *("timestamp_format", "timezone", "decimal", "duplicates"),
    },
    "items": {
        *("file", "item_id", "title", "categories", "separator", "available", "categorical", "numeric", "boolean"),
        *("available_values", "decimal"),
    },
    "settings": {"exclude_seen", "horizon"},
    "evaluation": {"test_from", "labels_from"},
    "events": event_section.ENTRIES,
}
"""What each section may hold; beside them stand `name`, `folder` and `[training]`."""

COLUMNS = ("user_id", "item_id", "timestamp", "event_type", "value", "title", "categories", "available")
"""Entries that name a column each."""

OWN = ("item_id", "title", "categories", "available")
"""Names of the items table's columns after it was read: no further column may have one."""

NO_USERS = (
    "Tandem reads no table of users any more, since no model used one. Delete the section [users]. To let the models "
    "learn an attribute of users, add its column to the interactions and name the column in context of [interactions]"
)
"""The end of the sentence on a section [users], which earlier versions read."""

NO_SEARCH = "Every search is exact. Delete this line"
"""The end of the sentence on `search` in [settings], which earlier versions read."""

HORIZONS = {"next": "rolling", "all": "horizon"}
"""What a slate is to find, and the protocol that teaches and measures it: a user's next item, or all later ones."""


@dataclass(frozen=True, slots=True)
class Moments:
    """When the test and the ranker's labels begin, unix seconds; None: where their shares of the log say."""

    test_from: float | None = None
    labels_from: float | None = None


@dataclass(frozen=True, slots=True)
class Mapping:
    """A `dataset.toml`: where the tables are and which of their columns mean what.

    events: what event types mean; None without a section [events]. weighed_by_value: types that weigh by `value`.
    training: the section [training], which changes the training configuration.
    """

    path: Location
    name: str
    folder: Location
    interactions: dict[str, Any]
    items: dict[str, Any]
    exclude_seen: SeenRule
    moments: Moments = field(default_factory=Moments)
    protocol: str = HORIZONS["next"]
    events: EventRules | None = None
    weighed_by_value: tuple[str, ...] = ()
    times: TimeFormat = field(default_factory=TimeFormat)
    decimals: dict[str, str] = field(default_factory=dict)
    keep_duplicates: bool = False
    training: dict[str, Any] = field(default_factory=dict)

    def place(self, section: str, entry: str) -> str:
        """The column of an entry and its file, as a sentence names them."""
        spec = getattr(self, section)
        return f"The column '{spec[entry]}' of {self.folder / spec['file']}" if spec else ""

    def has_types(self, section: str) -> bool:
        """Whether the file of a section has a type for each column: Parquet has, CSV has not."""
        return str(getattr(self, section)["file"]).endswith(("/", ".parquet"))

    @classmethod
    def read(cls, data: str | Path) -> Mapping:
        """Read the mapping at `data`: a folder that holds dataset.toml, or such a file that names the folder."""
        path = Location.of(data)
        if path.is_local_folder() or (path.remote and path.suffix != ".toml"):
            path = path / MAPPING
        raw = _parsed(path)
        training_config(section=raw.get("training", {}), place=f"[training] of {path}")
        unknown = _unknown(raw)
        if unknown:
            raise DatasetError(f"{path} has an unknown entry {unknown}.")
        for entry in ("name", "folder"):
            if not isinstance(text := raw.get(entry, "text"), str) or not text.strip():
                raise DatasetError(f'{path}: {entry} is one text, such as {entry} = "shop", not {raw[entry]!r}.')
        folder = (path.parent / raw.get("folder", ".")).resolved()
        if not folder.remote and not folder.is_local_folder():
            raise DatasetError(f"{path} names the folder {folder}, which does not exist.")
        horizon = raw.get("settings", {}).get("horizon", "next")
        if not isinstance(horizon, str) or horizon not in HORIZONS:
            raise DatasetError(
                f'{path}: horizon in [settings] is "next" (a slate is to find what a user takes next) or "all" (all '
                f"that the user takes later), not {horizon!r}."
            )
        interactions = _section(path, raw, "interactions", {"file", "user_id", "item_id", "timestamp"})
        _check_context(path, interactions)
        events, weighed = event_section.read_events(path, raw.get("events"), "event_type" in interactions)
        if weighed and "value" not in interactions:
            raise DatasetError(
                f"{path}: weigh_by_value in [events] needs a column of values; add a line such as "
                'value = "revenue" to [interactions].'
            )
        items = _section(path, raw, "items", {"file", "item_id"}) if "items" in raw else {}
        _check_available_values(path, items)
        _check_columns(path, items)
        duplicates = interactions.get("duplicates", "drop")
        if duplicates not in ("drop", "keep"):
            raise DatasetError(f'{path}: duplicates in [interactions] is "drop" or "keep", not {duplicates!r}.')
        return cls(
            path=path,
            name=raw.get("name", folder.name),
            folder=folder,
            interactions=interactions,
            items=items,
            exclude_seen=event_section.read_seen(path, raw.get("settings", {}).get("exclude_seen", True)),
            moments=Moments(**{name: moment(value, name) for name, value in raw.get("evaluation", {}).items()}),
            protocol=HORIZONS[horizon],
            events=events if "events" in raw else None,
            weighed_by_value=weighed,
            times=TimeFormat.of(path, interactions),
            decimals={
                "interactions": decimal_of(path, "interactions", interactions),
                "items": decimal_of(path, "items", items),
            },
            keep_duplicates=duplicates == "keep",
            training=raw.get("training", {}),
        )


def _parsed(path: Location) -> dict[str, Any]:
    """The entries of a TOML file; DatasetError where there is no such file or it is not TOML."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} is not valid TOML: {error}.") from error
    except FileNotFoundError as error:
        raise DatasetError(
            f"{path} does not exist. --data takes a folder with a {MAPPING}, or such a file that names the folder "
            '(folder = "..."). docs/data.md shows one.'
        ) from error
    except OSError as error:
        raise failed(path, "read", error) from error


def moment(value: object, name: str) -> float:
    """Unix seconds of a date or a time, as TOML or ISO 8601 have it, in UTC where it names no zone."""
    try:
        parsed = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise DatasetError(
            f"{name} is a date or a time such as 2000-12-21 or 2000-12-21T18:00:00Z, not {value}."
        ) from error
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def _section(path: Location, raw: dict[str, Any], name: str, required: set[str]) -> dict[str, Any]:
    section = raw.get(name)
    if not isinstance(section, dict):
        raise DatasetError(f"{path} lacks its [{name}] section: it names the file and the columns.")
    missing = sorted(required - set(section))
    if missing:
        raise DatasetError(f'{path} lacks {missing[0]} in [{name}]; add a line such as {missing[0]} = "{missing[0]}".')
    for entry, value in section.items():
        if entry in (*COLUMNS, "file", "separator") and not (isinstance(value, str) and value):
            raise DatasetError(f'{path}: {entry} in [{name}] is one text, such as {entry} = "{entry}", not {value!r}.')
    columns: dict[str, str] = {}
    for entry in COLUMNS:
        if entry not in section:
            continue
        if other := columns.get(section[entry]):
            raise DatasetError(
                f"{path}: {other} and {entry} in [{name}] both name the column '{section[entry]}'; a column has one "
                "meaning, so take one of the two out."
            )
        columns[section[entry]] = entry
    return section


def _check_available_values(path: Location, items: dict[str, Any]) -> None:
    """DatasetError unless `available_values` gives words a truth."""
    words = items.get("available_values", {})
    if not isinstance(words, dict) or not all(isinstance(meaning, bool) for meaning in words.values()):
        raise DatasetError(
            f"{path}: available_values in [items] gives each word true or false, such as "
            'available_values = { "preorder" = true, "discontinued" = false }.'
        )
    written: dict[str, str] = {}
    for word, meaning in words.items():
        first = written.setdefault(plain(word), word)
        if words[first] != meaning:
            raise DatasetError(
                f'{path}: available_values in [items] gives "{first}" and "{word}" different truths, and they are one '
                "word: case, spaces, _ and - do not matter. Keep one of the two."
            )


def _check_columns(path: Location, items: dict[str, Any]) -> None:
    """DatasetError unless each column of the items is named once: in two roles, one would silently be lost."""
    meanings: dict[str, str] = {items[entry]: entry for entry in COLUMNS if entry in items}
    for entry in ("categorical", "numeric", "boolean"):
        named = items.get(entry, [])
        if not isinstance(named, list) or not all(isinstance(column, str) for column in named):
            raise DatasetError(
                f'{path}: {entry} in [items] is a list of columns of the items table, such as ["brand"].'
            )
        for column in named:
            if other := meanings.get(column):
                raise DatasetError(
                    f"{path}: {entry} in [items] names '{column}', which already is its {other}; a column has one "
                    "meaning, so name it once."
                )
            if column in OWN:
                raise DatasetError(
                    f"{path}: {entry} in [items] names '{column}', a name that Tandem gives to another column. Rename "
                    "the column in the file."
                )
            meanings[column] = entry


def _check_context(path: Location, interactions: dict[str, Any]) -> None:
    """DatasetError unless `context` names a few columns of their own."""
    named = interactions.get("context", [])
    if not isinstance(named, list) or not all(isinstance(column, str) for column in named) or len(named) > CONTEXTS:
        raise DatasetError(
            f"{path}: context in [interactions] is a list of at most {CONTEXTS} columns of the interactions table, "
            'such as ["device", "country"].'
        )
    meanings = {interactions[entry]: entry for entry in COLUMNS if entry in interactions}
    for place, column in enumerate(named):
        other = "context" if column in named[:place] else meanings.get(column)
        if other:
            raise DatasetError(
                f"{path}: context in [interactions] names '{column}', which already is its {other}; a column has one "
                "meaning, so take it out of the list."
            )


def _unknown(raw: dict[str, Any]) -> str | None:
    """The first entry that means nothing where it stands, and what would: a misspelt one must not be ignored."""
    for section, entries in raw.items():
        if section in {"name", "folder", "training"}:
            continue
        if section == "users":
            return f"'users'; {NO_USERS}"
        if section not in ENTRIES or not isinstance(entries, dict):
            return f"'{section}'; {_belongs(section)}"
        for entry in entries:
            if (section, entry) == ("settings", "search"):
                return f"'search' in '[settings]'; {NO_SEARCH}"
            if entry not in ENTRIES[section]:
                return f"'{entry}' in '[{section}]'; {_belongs(entry)}"
    return None


def _belongs(entry: str) -> str:
    sections = [f"[{section}]" for section, entries in ENTRIES.items() if entry in entries]
    return f"it belongs in {' or '.join(sections)}" if sections else "docs/data.md lists what it may hold"
