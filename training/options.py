"""Build the configuration of a training run: a preset, changed by [training] of the dataset's `dataset.toml`, then by
command-line options.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from recsys.errors import DatasetError, SettingsError
from recsys.files.toml_errors import first_mistake
from training.config import CONFIGS, RankerConfig, TowerConfig, TrainingConfig

TABLES = {"tower": TowerConfig, "ranker": RankerConfig}
FIELDS = (
    *(f"{table}.{field.name}" for table, config in TABLES.items() for field in fields(config)),
    *(field.name for field in fields(TrainingConfig) if field.name not in TABLES),
)
"""Every field of the configuration by its name in `--set` and in [training]."""


def training_config(
    preset: str = "full",
    section: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    place: str = "[training]",
) -> TrainingConfig:
    """The configuration of `preset` with the values of a dataset's [training] and then of `overrides`.

    Both mappings may nest, {"tower": {"epochs": 4}}, or name a field with a dot, {"tower.epochs": 4}. place: names
    [training] in an error. SettingsError with the field and the fix for an unknown field or a wrong value.
    """
    if preset not in CONFIGS:
        raise SettingsError(f"The training configuration is one of {', '.join(CONFIGS)}, not {preset!r}.")
    config = _changed(CONFIGS[preset](), {} if section is None else section, place)
    return _changed(config, overrides or {}, "The overrides (--set)")


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose and change a training configuration."""
    parser.add_argument("--config", choices=CONFIGS, default="full", help="how long to train; default: full")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="FIELD=VALUE",
        help="change one field of the training configuration, such as tower.epochs=4 (docs/training.md); repeatable",
    )
    parser.add_argument("--device", help="where the networks train: auto, cpu or cuda; default: auto")


def config_of(options: argparse.Namespace, section: Mapping[str, Any], place: str = "[training]") -> TrainingConfig:
    """The configuration of a dataset with this [training] under the options of `add_training_options`.

    SettingsError if the configuration needs a GPU and this machine has none: the run starts here.
    """
    overrides = parsed(options.overrides)
    if options.device is not None:
        overrides["device"] = options.device
    config = training_config(options.config, section, overrides, place)
    if config.device == "cuda":
        from training.device import find_device  # torch takes a second to import

        find_device(config.device)
    return config


def parsed(assignments: Sequence[str]) -> dict[str, Any]:
    """The values of `FIELD=VALUE` texts by field. A value is parsed as TOML, and is text if it is not TOML."""
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise SettingsError(f"--set takes FIELD=VALUE, such as tower.epochs=4, not {assignment!r}.")
        try:
            values[name.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            values[name.strip()] = text.strip()
    return values


def _changed(config: TrainingConfig, changes: Mapping[str, Any], source: str) -> TrainingConfig:
    if not isinstance(changes, Mapping):
        raise SettingsError(f"{source}: this is a table of fields, such as tower.epochs = 4, not {changes!r}.")
    values = asdict(config)
    for name, value in changes.items():
        table, dot, field = name.partition(".")
        change = {field: value} if dot else value
        merges = isinstance(values.get(table), Mapping) and isinstance(change, Mapping)
        values[table] = {**values[table], **change} if merges else change
    try:
        return TypeAdapter(TrainingConfig).validate_python(values)
    except ValidationError as error:
        raise SettingsError(f"{source}: {first_mistake(error, FIELDS)}") from error


def checked(target: Path | None, option: str = "--json") -> Path | None:
    """A file to write; DatasetError before the work where it can't be written."""
    if target is not None and not target.parent.is_dir():
        raise DatasetError(f"{option} names {target}, whose folder does not exist.")
    if target is not None and target.is_dir():
        raise DatasetError(f"{option} names {target}, which is a folder: name a file in it.")
    return target
