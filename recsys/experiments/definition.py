"""The definition of an experiment, as a TOML or JSON file states it: arms, audience, metric and guardrails.

An arm is a variant of the recommendations. Users outside all arms get the control: the recommendations as they are
without the experiment. An error is a sentence that names the field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic import model_validator as validates
from pydantic_core import from_json

from recsys.errors import ExperimentError
from recsys.experiments import former_layers
from recsys.files.toml_errors import field_names, first_mistake, parse_toml, wanted
from recsys.rules import rules_schema
from recsys.rules.rules_schema import Rules
from recsys.types import CANDIDATES

CONTROL = "control"
"""The name of the control in answers, metrics and reports; no arm has it."""

MOST_ARMS = 4
"""Arms of an experiment, without the control: their names are labels of metrics."""

NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")

Name = Annotated[
    str, Field(strict=True, pattern=f"^{NAME.pattern}$"), wanted("1 to 32 of a-z, 0-9, - and _, from a letter on")
]
Share = Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False), wanted("a share above 0, at most 1")]
_Part = Annotated[float, Field(strict=True, ge=0, lt=1, allow_inf_nan=False), wanted("a share from 0, below 1")]
_Value = Annotated[str, Field(strict=True, min_length=1, max_length=256), wanted("a text of 1 to 256 characters")]
_Values = Annotated[tuple[_Value, ...], Field(min_length=1), wanted("a list of texts of 1 to 256 characters")]
_Text = Annotated[str, Field(strict=True, min_length=1, max_length=64), wanted("a text of 1 to 64 characters")]
_Temperature = Annotated[
    float, Field(strict=True, ge=0.001, le=100, allow_inf_nan=False), wanted("a number from 0.001 to 100")
]
_Milliseconds = Annotated[float, Field(strict=True, gt=0, le=999_999), wanted("a number of milliseconds above 0")]


def _no_number(time: object) -> object:
    if isinstance(time, (int, float)):
        raise ValueError("a number is no time")  # pydantic reads it as unix seconds
    return time


_Time = Annotated[
    AwareDatetime, BeforeValidator(_no_number), wanted("a time with its zone, such as 2026-12-01T08:00:00Z")
]
_Limit = Annotated[
    Share | None,
    BeforeValidator(lambda value: None if value is False else value),
    wanted("a share above 0, at most 1, or false"),
]


def _rules(table: object) -> object:
    """The rules of a table; ValueError with the sentence that a file of rules would give."""
    try:
        return Rules.model_validate(table) if isinstance(table, dict) else table
    except ValidationError as error:
        raise ValueError(rules_schema.first_mistake(error).rstrip(".")) from error


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Explore(_Table):
    """Draw places of slates at random, so that the log shows what else users take; see `recsys.rules.exploration`.

    slates: the share of the arm's ranked slates that explore. temperature: of the draw, in standard deviations of the
    candidates' scores. uncertain: the share of places drawn among items with fewer than `fewer_than` interactions.
    """

    slates: Share
    temperature: _Temperature
    uncertain: _Part = 0.0
    fewer_than: Annotated[int, Field(strict=True, ge=1, le=1_000_000), wanted("a whole number from 1 on")] = 20


class Arm(_Table):
    """What an arm changes. share: of the audience, at a ramp of 100 %.

    generation: the id of the models to answer from. rules: a table as in rules.toml, in place of the rules of the
    surface. mode: of requests that name none. candidates: the most that are ranked. explore: which places are drawn.
    """

    share: Share
    generation: _Text | None = None
    rules: Annotated[Rules | None, BeforeValidator(_rules)] = None
    mode: (
        Annotated[Literal["auto", "batch", "hybrid", "realtime"], wanted('"auto", "batch", "hybrid" or "realtime"')]
        | None
    ) = None
    candidates: (
        Annotated[int, Field(strict=True, ge=1, le=CANDIDATES), wanted(f"a whole number from 1 to {CANDIDATES}")] | None
    ) = None

    explore: Explore | None = None

    @validates(mode="after")
    def _check(self) -> Self:
        if self.explore is not None and self.mode == "batch":
            raise ValueError('mode is "batch", and lists do not explore; leave mode or explore out')
        return self

    @property
    def changes(self) -> frozenset[str]:
        """The fields that the arm changes; empty for an arm that is equal to the control, for an A/A test."""
        fields = "generation", "rules", "mode", "candidates", "explore"
        return frozenset(name for name in fields if getattr(self, name) is not None)


class Audience(_Table):
    """Which requests take part. surfaces: all if empty. context: the values that a request must have one of, by column.

    holdout: unused, of the release before (`former_layers`).
    """

    surfaces: Annotated[tuple[Name, ...], wanted("a list of names of surfaces")] = ()
    context: dict[_Text, _Values] = Field(default_factory=dict)
    holdout: _Part = 0.0


class Guardrails(_Table):
    """The limits of an arm; a breach sets its share to 0. None, or false in a file: not watched.

    p99_ms: of its slates. error_share, degraded_share, empty_share: of its slates. click_rate_drop: the relative loss
    against the control that is not accepted. sample_ratio: whether the counts of users must fit the shares.
    """

    p99_ms: _Milliseconds | None = None
    error_share: _Limit = 0.01
    degraded_share: _Limit = 0.05
    empty_share: _Limit = 0.05
    click_rate_drop: _Limit = 0.1
    sample_ratio: Annotated[bool, Field(strict=True), wanted("true or false")] = True


class Definition(_Table):
    """An experiment.

    salt: decides who gets which arm; default: the name. assignment: by `salt`, or by the caller, who names the arm in
    each request. primary: what the report judges, clicks or conversions. start, end: when. layer, traffic: unused, of
    the release before (`former_layers`).
    """

    name: Name
    layer: Name | None = None
    traffic: Share = 1.0
    salt: _Text | None = None
    assignment: Annotated[Literal["salt", "caller"], wanted('"salt" or "caller"')] = "salt"
    audience: Audience = Audience()
    arms: dict[Name, Arm]
    primary: Annotated[Literal["click", "conversion"], wanted('"click" or "conversion"')] = "click"
    guardrails: Guardrails = Guardrails()
    start: _Time | None = None
    end: _Time | None = None

    @property
    def salt_or_name(self) -> str:
        """The salt of the assignment."""
        return self.salt or self.name

    @validates(mode="after")
    def _check(self) -> Self:
        if not 1 <= len(self.arms) <= MOST_ARMS:
            raise ValueError(
                f"arms has {len(self.arms)} tables; an experiment has 1 to {MOST_ARMS} arms beside the control"
            )
        if CONTROL in self.arms:
            raise ValueError(f'"{CONTROL}" is the name of what users get without an arm; name the arm otherwise')
        if (total := sum(arm.share for arm in self.arms.values())) > 1 + 1e-9:
            raise ValueError(f"the shares of the arms have the sum {total:.4g}, above 1")
        if self.start and self.end and self.end <= self.start:
            raise ValueError("end is not later than start")
        return self


_EXAMPLES = dict.fromkeys(("share", "slates", "temperature"), "0.5")


def parse(text: str, name: str = "experiment.toml") -> Definition:
    """The experiment of a file, in JSON if the text begins with a brace; ExperimentError names the field and fix."""
    is_json = text.lstrip().startswith("{")
    try:
        fields = from_json(text) if is_json else parse_toml(text.encode())
    except ValueError as error:
        raise ExperimentError(f"{name} is not valid JSON: {error}." if is_json else f"{name} {error}") from error
    return checked(fields, name)


def checked(fields: Any, name: str = "experiment") -> Definition:
    """The experiment of parsed fields; ExperimentError names the field and the fix."""
    for field in former_layers.stated_fields(fields):
        raise ExperimentError(f"{name}: {former_layers.refusal(field)}")
    try:
        return Definition.model_validate(fields)
    except ValidationError as error:
        raise ExperimentError(f"{name}: {first_mistake(error, [*_known(fields)], _EXAMPLES)}") from error


def _known(fields: Any) -> Iterator[str]:
    """The dotted names of all fields, with the names of the arms in `fields`."""
    unused = "layer", "traffic", "audience.holdout"
    yield from (name for name in field_names(Definition) if not name.startswith("arms.") and name not in unused)
    arms = fields.get("arms") if isinstance(fields, dict) else None
    for arm in arms if isinstance(arms, dict) else ["NAME"]:
        yield from field_names(Arm, f"arms.{arm}.")


def to_toml(experiment: Definition) -> str:
    """The text that `parse` reads back, with all defaults; without the fields of `former_layers`, which it refuses."""
    fields = experiment.model_dump(exclude_none=True)
    del fields["traffic"], fields["audience"]["holdout"]
    fields.pop("layer", None)
    unwatched = {name: False for name, limit in experiment.guardrails if limit is None and name != "p99_ms"}
    fields["guardrails"] |= unwatched
    return tomli_w.dumps(fields)
