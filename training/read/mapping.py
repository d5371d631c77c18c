"""Read a `dataset.toml`, the mapping of a dataset: where its tables are, and which of their columns mean what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from recsys.errors import DatasetError
from recsys.files.toml_errors import field_names, first_mistake, parse_toml
from training.options import training_config
from training.read.dataset_toml import DatasetToml, moment
from training.read.locations import Location, failed
from training.read.table_sections import Table

MAPPING = "dataset.toml"

USERS_SECTION = (
    "Tandem reads no table of users. Delete the section [users]. To let the models learn an attribute of users, add "
    "its column to the interactions and name the column in context of [interactions]."
)

PROTOCOLS = {"next": "rolling", "all": "horizon"}
"""The evaluation protocol of each `horizon`: a slate should hold a user's next item, or all later items."""


@dataclass(frozen=True, slots=True)
class Moments:
    """When the test and the ranker's labels begin, in unix seconds; None: by their shares of the log."""

    test_from: float | None = None
    labels_from: float | None = None


@dataclass(frozen=True, slots=True)
class Mapping:
    """A `dataset.toml` that was read.

    path: the file. folder: where the tables are. name: the dataset's name; the folder's if the file has none. protocol:
    how models of the dataset are trained and measured. training: the section that changes the training configuration.
    """

    path: Location
    folder: Location
    toml: DatasetToml
    name: str
    protocol: str
    training: dict[str, Any]

    def column(self, table: Table, entry: str, name: str | None = None) -> str:
        """A column and its file, at the start of a sentence. name: the column's, for an entry that is a list."""
        return f"The column '{name or getattr(table, entry)}' of {self.file(table)}"

    def file(self, table: Table) -> Location:
        """The file of a section, or its folder of Parquet files."""
        return self.folder / table.file

    @classmethod
    def read(cls, data: str | Path) -> Mapping:
        """Read the mapping at `data`: a folder with a dataset.toml, or such a file, which may name the folder.

        DatasetError with the field and the fix for a mistake in the file.
        """
        path = Location.of(data)
        if not path.name.endswith(".toml") and not Path(path.text).is_file():
            path = path / MAPPING
        raw = _parsed(path)
        training = raw.get("training", {})
        training_config(section=training, place=f"[training] of {path}")
        if "users" in raw:
            raise DatasetError(f"{path}: {USERS_SECTION}")
        try:
            toml = DatasetToml.model_validate(raw)
        except ValidationError as error:
            raise DatasetError(f"{path}: {first_mistake(error, [*field_names(DatasetToml)])}") from error
        folder = Location.of(str(path.parent / toml.folder))
        if not folder.remote and not Path(folder.text).is_dir():
            raise DatasetError(f"{path} names the folder {folder}, which does not exist.")
        return cls(path, folder, toml, toml.name or folder.name, PROTOCOLS[toml.settings.horizon], training)


def _parsed(path: Location) -> dict[str, Any]:
    """The entries of a TOML file. DatasetError if there is no such file or it is not TOML."""
    try:
        with path.open_text() as stream:
            return parse_toml(stream.read())
    except FileNotFoundError as error:
        raise DatasetError(
            f"{path} does not exist. --data takes a folder with a {MAPPING}, or such a file that names the folder "
            '(folder = "..."). docs/data.md shows one.'
        ) from error
    except OSError as error:
        raise failed(path, "read", error) from error
    except ValueError as error:
        raise DatasetError(f"{path} {error}") from error


def stated_moment(value: object, name: str) -> float:
    """Unix seconds of the date or time that an option or entry `name` states. DatasetError for other text."""
    try:
        return moment(value)
    except ValueError as error:
        raise DatasetError(
            f"{name} is a date or a time such as 2000-12-21 or 2000-12-21T18:00:00Z, not {value}."
        ) from error
