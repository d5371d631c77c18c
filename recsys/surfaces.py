"""The schema of `surfaces.toml`: the places of a product that show recommendations, such as a home page or an e-mail,
each with its own mode, deadline, rules and promise.

The service reads the file, and `python -m training advise` writes one. An error is a sentence that names the field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, TypeAdapter, ValidationError
from pydantic import model_validator as validates

from recsys.errors import SurfacesError
from recsys.files.toml_errors import field_names, first_mistake, parse_toml, wanted

DEFAULT = "default"
"""The surface of a request that names none. It exists without an entry in the file."""

MOST = 32
"""Surfaces of a file, with `default`: their names are labels of metrics, and each label is a time series."""

NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")

PROMISE = ("rate", "p50_ms", "p99_ms", "error_share", "degraded_share")
"""The fields of a promise, as in slo.toml: a surface has all of them or none."""

DURATIONS = ("list_fresh", "list_usable", "model_age", "list_age", "trending_age")
"""The fields that are durations."""

UNITS = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}
"""Seconds of each unit of a duration, the largest first."""

LONGEST = 10 * 365 * 86_400
"""Seconds of the longest duration, ten years: a longer one is a mistake of the unit."""


def seconds_of(value: object) -> object:
    """Seconds of a duration such as "90s", "15min", "6h" or "1d". Other values are returned as they are."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?) ?(d|h|min|s)", value) if isinstance(value, str) else None
    return float(found[1]) * UNITS[found[2]] if found else value


def shown_duration(seconds: float) -> str:
    """A duration as `seconds_of` reads it, in the largest unit that divides it."""
    unit = next((unit for unit, size in UNITS.items() if seconds >= size and seconds % size == 0), "s")
    return f"{seconds / UNITS[unit]:.12g}{unit}"


Duration = Annotated[
    float,
    Field(strict=True, ge=0, le=LONGEST, allow_inf_nan=False),
    BeforeValidator(seconds_of),
    wanted('a duration such as "90s", "15min", "6h" or "1d", or a number of seconds'),
]
Mode = Annotated[
    Literal["auto", "batch", "hybrid", "realtime"], wanted('"auto", "batch", "hybrid" or "realtime", in quotes')
]
_Age = Annotated[
    float,
    Field(strict=True, gt=0, le=30 * 86_400, allow_inf_nan=False),
    BeforeValidator(seconds_of),
    wanted('a duration up to "30d", such as "15min" or "36h", or a number of seconds'),
]
Milliseconds = Annotated[float, Field(strict=True, gt=0, le=999_999), wanted("a number of milliseconds above 0")]
Share = Annotated[float, Field(strict=True, ge=0, le=1), wanted("a share from 0 to 1")]
Rate = Annotated[float, Field(strict=True, gt=0, le=1e6), wanted("a number of requests a second above 0")]
_RulesPath = Annotated[
    str, Field(strict=True, pattern=r"^[^\x00-\x1f\x7f]+$"), wanted('the path of a file, such as "rules-home.toml"')
]


class Surface(BaseModel):
    """One surface. A field that is left out has the default, or the value of the setting that it replaces.

    mode, k: of a request that names none. deadline_ms: the longest, None: TANDEM_DEADLINE_MS. rules: a file, relative
    to surfaces.toml; None: the common rules. list_fresh, list_usable: seconds of age up to which the mode auto takes a
    list as it is, and ranks it again; None: TANDEM_LIST_FRESH_SECONDS, TANDEM_LIST_USABLE_SECONDS. log_impressions:
    whether slates are logged. model_age, list_age, trending_age: the promised greatest age in seconds of what slates
    are made from; None: that of slo.toml. The others: `PROMISE`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode = "auto"
    k: Annotated[int, Field(strict=True, ge=1, le=100), wanted("a whole number from 1 to 100")] = 10
    deadline_ms: (
        Annotated[int, Field(strict=True, ge=1, le=999_999), wanted("a whole number of milliseconds above 0")] | None
    ) = None
    rules: _RulesPath | None = None
    list_fresh: Duration | None = None
    list_usable: Duration | None = None
    log_impressions: Annotated[StrictBool, wanted("true or false")] = True
    model_age: _Age | None = None
    list_age: _Age | None = None
    trending_age: _Age | None = None
    rate: Rate | None = None
    p50_ms: Milliseconds | None = None
    p99_ms: Milliseconds | None = None
    error_share: Share | None = None
    degraded_share: Share | None = None

    @property
    def promise(self) -> dict[str, float] | None:
        """The values of PROMISE by name; None if this surface promises nothing of its own."""
        return None if self.rate is None else {name: getattr(self, name) for name in PROMISE}

    @property
    def ages(self) -> dict[str, float]:
        """The promised greatest ages in seconds by part, of those that this surface has of its own."""
        ages = {"model": self.model_age, "list": self.list_age, "trending": self.trending_age}
        return {part: age for part, age in ages.items() if age is not None}

    @validates(mode="after")
    def _check_pairs(self) -> Self:
        missing = [name for name in PROMISE if getattr(self, name) is None]
        if missing and len(missing) < len(PROMISE):
            raise ValueError(f"{', '.join(PROMISE)} are one promise, and {missing[0]} is missing")
        if self.p50_ms is not None and self.p99_ms is not None and self.p50_ms > self.p99_ms:
            raise ValueError(f"p50_ms is {self.p50_ms:g}, above p99_ms, which is {self.p99_ms:g}")
        if self.list_fresh is not None and self.list_usable is not None and self.list_fresh > self.list_usable:
            raise ValueError("list_fresh is above list_usable, and a list that is fresh is usable")
        return self


_SURFACES = TypeAdapter(dict[str, Surface])


def parse(text: str, name: str = "surfaces.toml") -> dict[str, Surface]:
    """The surfaces of a text by name, with `default`; SurfacesError names the first wrong field and the fix."""
    try:
        tables = parse_toml(text.encode("utf-8", "surrogatepass"))
    except ValueError as error:
        raise SurfacesError(f"{name} {error}") from error
    try:
        check_names(tables)
        surfaces = _SURFACES.validate_python(tables)
    except ValidationError as error:
        known = [f"{table}.{field}" for table in tables for field in field_names(Surface)]
        raise SurfacesError(f"{name}: {first_mistake(error, known)}") from error
    except ValueError as error:
        raise SurfacesError(f"{name}: {error}") from error
    return {DEFAULT: surfaces.pop(DEFAULT, Surface()), **surfaces}


def check_names(tables: Mapping[str, Any]) -> None:
    """ValueError with a sentence if an entry is no table, a name has another form, or there are too many surfaces."""
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ValueError(f"{name} is outside the table of a surface; write it below a line such as [home].")
        if not NAME.fullmatch(name):
            raise ValueError(
                f"[{name[:40]}] is no name of a surface: 1 to 32 of a-z, 0-9, - and _ are, from a letter on."
            )
    if (count := len({DEFAULT, *tables})) > MOST:
        raise ValueError(f"there are {count} surfaces with default; {MOST} are the most.")


def to_toml(surfaces: Mapping[str, Surface], notes: Mapping[str, list[str]] | None = None) -> str:
    """The text that `parse` reads back: the fields that were set. notes: lines of comment above each surface."""
    parts = []
    for name, surface in surfaces.items():
        comment = [f"# {line}" for line in (notes or {}).get(name, [])]
        values = {field: getattr(surface, field) for field in Surface.model_fields if field in surface.model_fields_set}
        lines = [f"{field} = {_toml(field, value)}" for field, value in values.items() if value is not None]
        parts.append("\n".join([*comment, f"[{name}]", *lines, ""]))
    return "\n".join(parts)


def _toml(field: str, value: object) -> str:
    if isinstance(value, float) and field in DURATIONS and value.is_integer():
        value = shown_duration(value)
    return json.dumps(value, ensure_ascii=False)
