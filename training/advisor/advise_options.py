"""The options of `python -m training advise`: the checklist, the traffic, the prices and the surfaces, from a TOML file
and from the command line, which wins.
"""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic import model_validator as validates

from recsys.errors import SettingsError
from recsys.files.toml_errors import field_names, first_mistake, parse_toml, wanted
from recsys.surfaces import DEFAULT, Surface, check_names
from training.advisor.checklist import QUESTIONS
from training.advisor.cost import Workload
from training.advisor.curves import SEGMENTS, Segment

TOLERANCE = 0.02
"""The share of Recall@10 that an answer may lose because a part of it is out of date, unless the user sets one."""

_Share = Annotated[float, Field(gt=0, le=1), wanted("a share above 0, up to 1")]
_Tolerance = Annotated[float, Field(ge=0, lt=1), wanted("a share from 0 to below 1, such as 0.02")]


def _words(names: Iterable[str]) -> str:
    *others, last = (f'"{name}"' for name in names)
    return f"{', '.join(others)} or {last}"


_ANSWERS: dict[str, Any] = {
    name: (Annotated[Literal[tuple(question.answers)], wanted(_words(question.answers))] | None, None)
    for name, question in QUESTIONS.items()
}
Answers = create_model("Answers", __config__=ConfigDict(extra="forbid", frozen=True), **_ANSWERS)
"""An answer to each question of the checklist, None where the question is open."""


class PlannedSurface(Surface):
    """A surface as the options state it: the fields of `surfaces.toml` but for the mode, and what the advice needs.

    share: of all slates; None: as much as every other surface. segment: of the queries that it has. answers: those
    that differ from the answers for all surfaces.
    """

    share: _Share | None = None
    segment: Annotated[Segment, wanted(_words(SEGMENTS))] = "all"
    tolerance: _Tolerance | None = None
    answers: Answers = Answers()

    @validates(mode="after")
    def _has_no_mode(self) -> Self:
        if "mode" in self.model_fields_set:
            raise ValueError("the advice chooses the mode; leave `mode` out")
        return self


class AdviceOptions(BaseModel):
    """All options. tolerance: `TOLERANCE` of every surface that states no other."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tolerance: _Tolerance = TOLERANCE
    answers: Answers = Answers()
    workload: Workload = Workload()
    surfaces: Annotated[dict[str, PlannedSurface], Field(min_length=1)] = Field(
        default_factory=lambda: {DEFAULT: PlannedSurface()}
    )

    @validates(mode="after")
    def _check_shares(self) -> Self:
        stated = [surface.share for surface in self.surfaces.values() if surface.share is not None]
        if (total := sum(stated)) > 1 + 1e-9:
            raise ValueError(f"the shares of the surfaces add up to {total:g}, and all slates are 1")
        if len(stated) < len(self.surfaces) and total > 1 - 1e-9:
            raise ValueError("the stated shares of the surfaces leave nothing for a surface without a share")
        return self

    def share(self, name: str) -> float:
        """The share of the slates of a surface."""
        stated = [surface.share for surface in self.surfaces.values() if surface.share is not None]
        own = self.surfaces[name].share
        return own if own is not None else (1 - sum(stated)) / (len(self.surfaces) - len(stated))

    def answered(self, name: str | None = None) -> dict[str, str]:
        """The answers for all surfaces, with those of one surface."""
        own = self.surfaces[name].answers.model_dump(exclude_none=True) if name else {}
        return self.answers.model_dump(exclude_none=True) | own

    @property
    def assumed(self) -> list[str]:
        """The names of the figures that the user did not state and that have a default."""
        names = [name for name in Workload.model_fields if name not in self.workload.model_fields_set]
        return [*names, *(["tolerance"] if "tolerance" not in self.model_fields_set else [])]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each question, for each figure of the workload and for the tolerance."""
    asked = parser.add_argument_group("the checklist")
    for name, question in QUESTIONS.items():
        texts = "; ".join(f"{word}: {answer.text}" for word, answer in question.answers.items())
        asked.add_argument(_option(name), metavar="ANSWER", help=f"{question.text} {texts}")
    figures = parser.add_argument_group("the traffic and the prices")
    for name, text in HELP.items():
        figures.add_argument(_option(name), metavar="VALUE", help=text)


HELP = {
    "slates": "slates a second, on average",
    "peak_factor": "the traffic of the busiest minutes, divided by the average",
    "users": "users with a list; default: those of the data",
    "items": "items; default: those of the data",
    "active_share": "the share of users with events on a day",
    "batch_every": "time between two runs of flows batch, such as 1d",
    "refresh_every": "time between two runs of flows refresh, such as 2min",
    "price_core_hour": "the price of a core for an hour, in any currency",
    "price_gib_month": "the price of a GiB of memory in Redis for a month",
    "tolerance": f"the share of Recall@10 that an answer may lose by its age; default: {TOLERANCE}",
}
"""The figures of the workload, and the tolerance, by field."""


def read_options(path: Path | None, arguments: argparse.Namespace) -> AdviceOptions:
    """The options of the file, changed by those of the command line; SettingsError with a sentence for a wrong one."""
    tables: dict[str, Any] = {}
    if path is not None:
        try:
            tables = parse_toml(path.read_bytes())
        except OSError as error:
            raise SettingsError(f"The options of {path} can't be read: {error.strerror}.") from error
        except ValueError as error:
            raise SettingsError(f"{path} {error}") from error
        _validate(tables, f"{path}: ")
    stated = {name: value for name in (*QUESTIONS, *HELP) if (value := getattr(arguments, name)) is not None}
    for name, text in stated.items():
        if name == "tolerance":
            tables[name] = _parsed(text)
        else:
            table = "answers" if name in QUESTIONS else "workload"
            tables[table] = {**tables.get(table, {}), name: text if name in QUESTIONS else _parsed(text)}
    return _validate(tables, "")


def _validate(tables: dict[str, Any], place: str) -> AdviceOptions:
    surfaces = tables.get("surfaces")
    surfaces = surfaces if isinstance(surfaces, dict) else {}
    try:
        check_names(surfaces)
        return AdviceOptions.model_validate(tables)
    except ValidationError as error:
        of_surface = [*field_names(PlannedSurface)]
        known = [
            *field_names(AdviceOptions),
            *(f"surfaces.{name}.{field}" for name in surfaces for field in of_surface),
        ]
        raise SettingsError(place + _by_option(first_mistake(error, known), place)) from error
    except ValueError as error:
        raise SettingsError(f"{place}surfaces: {error}") from error


def _by_option(sentence: str, place: str) -> str:
    """The sentence with the name of the option, where a value of the command line is wrong."""
    if place:
        return sentence
    return re.sub(r"^(?:answers\.|workload\.)?(\w+)(?= is )", lambda found: _option(found[1]), sentence)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _parsed(text: str) -> object:
    """A value of the command line as TOML, a text if it is not TOML."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
