"""The training configuration of a run: a preset, changed by a dataset's [training], changed by the command line."""

from __future__ import annotations

import argparse
import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from recsys.errors import SettingsError
from training.config import CONFIGS, RankerConfig, TowerConfig, TrainingConfig

GROUPS = {"tower": TowerConfig, "ranker": RankerConfig}
FIELDS = (
    *(f"{group}.{field.name}" for group, config in GROUPS.items() for field in fields(config)),
    *(field.name for field in fields(TrainingConfig) if field.name not in GROUPS),
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
    config = _changed(CONFIGS[preset](), section or {}, place)
    return _changed(config, overrides or {}, "The overrides")


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
    """The configuration that the options of `add_training_options` give for a dataset with this [training].

    SettingsError where it needs a GPU and there is none: the run starts on this machine.
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
    """The values of `FIELD=VALUE` texts by field; a value is read as TOML, and as text where it is not TOML."""
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
    values = asdict(config)
    for name, value in _flat(changes, source):
        group, _, field = name.rpartition(".")
        (values[group] if group else values)[field] = value
    try:
        return TypeAdapter(TrainingConfig).validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        problem = first["msg"].removeprefix("Value error, ").replace("Input should", "the value should")
        if not first["loc"]:
            raise SettingsError(f"{source}: {problem}.") from error
        name = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"{source}: {name} is {first['input']!r}, and {problem}.") from error


def _flat(changes: Mapping[str, Any], source: str) -> Iterator[tuple[str, Any]]:
    """Each change with its field's whole name; SettingsError for a name that is no field."""
    if not isinstance(changes, Mapping):
        raise SettingsError(f"{source}: this is a table of fields, such as tower.epochs = 4, not {changes!r}.")
    for name, value in changes.items():
        if name in GROUPS:
            if not isinstance(value, Mapping):
                raise SettingsError(f"{source}: {name} is a table of fields, such as {name}.epochs = 4, not {value!r}.")
            yield from _flat({f"{name}.{field}": each for field, each in value.items()}, source)
        elif name in FIELDS:
            yield name, value
        else:
            near = difflib.get_close_matches(name, FIELDS, 1)
            fix = f"Did you mean {near[0]}?" if near else f"The fields are {', '.join(FIELDS)}."
            raise SettingsError(f"{source}: {name} is no field of the training configuration. {fix}")
