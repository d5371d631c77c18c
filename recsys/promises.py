"""The schema of `slo.toml`, the promises of the service, and its one reader.

The service, its page /operations, the load test, the alerts and the dashboards read the file with it. An error is a
sentence that names the file, the entry and what is wanted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic import model_validator as validates
from pydantic_core import PydanticKnownError

from recsys.errors import SettingsError
from recsys.files.toml_errors import field_names, first_mistake, parse_toml, wanted
from recsys.flow_names import FLOWS
from recsys.surfaces import Milliseconds, Rate, Share

SLO_FILE = Path(__file__).resolve().parent.parent / "slo.toml"

VERBS = ("similar", "explain", "rank", "events")
"""The verbs that may have a promise, beside `recommend`."""

DAY = 86_400
"""Seconds of a day."""


def _flow(name: str) -> str:
    if name not in FLOWS:
        raise PydanticKnownError("extra_forbidden")
    return name


_Age = Annotated[
    int, Field(strict=True, gt=0, le=30 * DAY), wanted("a whole number of seconds above 0, of 30 days at most")
]
_Period = Annotated[
    int, Field(strict=True, gt=0, le=366 * DAY), wanted("a whole number of seconds above 0, of 366 days at most")
]
_Deadline = Annotated[
    int, Field(strict=True, ge=1, le=999_999), wanted("a whole number of milliseconds from 1 to 999999")
]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RecommendPromise(_Table):
    """The limits of /recommend at `rate` requests a second, times in milliseconds."""

    rate: Rate
    deadline_ms: _Deadline
    p50_ms: Milliseconds
    p99_ms: Milliseconds
    error_share: Share
    degraded_share: Share

    @validates(mode="after")
    def _check_order(self) -> Self:
        if self.p50_ms > self.p99_ms:
            raise ValueError(f"p50_ms is {self.p50_ms:g}, above p99_ms, which is {self.p99_ms:g}")
        return self


class VerbPromise(_Table):
    """The limits of a verb beside /recommend, such as /similar: of its p99, and of its share of errors."""

    p99_ms: Milliseconds
    error_share: Share


class ModePromise(_Table):
    """The limit of the p99 of the slates of a mode."""

    p99_ms: Milliseconds


class Modes(_Table):
    """The promises by mode; None: no promise."""

    batch: ModePromise | None = None
    hybrid: ModePromise | None = None
    realtime: ModePromise | None = None


class Freshness(_Table):
    """The greatest age in seconds of what slates are made from, by part; None: no promise."""

    model: _Age | None = None
    list: _Age | None = None
    trending: _Age | None = None


class StatedPromises(_Table):
    """Every promise of slo.toml. A table beside [recommend] that is missing promises nothing.

    flows: the longest time between two successes in seconds, by flow.
    """

    recommend: RecommendPromise
    similar: VerbPromise | None = None
    explain: VerbPromise | None = None
    rank: VerbPromise | None = None
    events: VerbPromise | None = None
    modes: Modes = Modes()
    freshness: Freshness = Freshness()
    flows: dict[Annotated[str, AfterValidator(_flow)], _Period] = {}

    @property
    def verbs(self) -> dict[str, VerbPromise]:
        """The promises by verb, of those beside `recommend` that have one."""
        return {verb: promise for verb in VERBS if (promise := getattr(self, verb)) is not None}

    @property
    def mode_p99_ms(self) -> dict[str, float]:
        """The p99 in milliseconds by mode, of those that have a promise."""
        return {mode: promise.p99_ms for mode, promise in self.modes if promise is not None}

    @property
    def ages(self) -> dict[str, float]:
        """The greatest age in seconds by part, of those that have a promise."""
        return {part: float(age) for part, age in self.freshness if age is not None}


def stated_promises() -> StatedPromises:
    """The promises of slo.toml; SettingsError names the first wrong entry and the fix."""
    try:
        return StatedPromises.model_validate(parse_toml(SLO_FILE.read_bytes()))
    except ValidationError as error:
        known = [*field_names(StatedPromises), *(f"flows.{flow}" for flow in FLOWS)]
        examples = dict.fromkeys(RecommendPromise.model_fields, "100") | dict.fromkeys(
            ("error_share", "degraded_share"), "0.01"
        )
        raise SettingsError(f"{SLO_FILE.name}: {first_mistake(error, known, examples)}") from error
    except ValueError as error:
        raise SettingsError(f"{SLO_FILE.name} {error}") from error
    except OSError as error:
        raise SettingsError(f"{SLO_FILE} can't be read: {error.strerror}.") from error
