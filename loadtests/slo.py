"""Service level objectives: the limits that slo.toml and surfaces.toml set for the service, and the verdict on a load
test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from loadtests.tally import ANSWERED, Outcome, Tally
from recsys.environment import Environment
from recsys.errors import SurfacesError
from recsys.promises import StatedPromises, VerbPromise, stated_promises
from recsys.surfaces import DEFAULT, Surface, parse, shown_duration
from training.report.page import Table

SLO_TOML = "slo.toml"
ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "loadtests" / "results"

BROKEN, LATE_GENERATOR = 1, 3
"""Exit codes: a limit did not hold; the generator was late or incomplete, so that nothing was measured."""


OLD_SHARE = 0.01
"""Share of slates that may be made from something older than promised."""


@dataclass(frozen=True)
class Line:
    """One limit and the measured value."""

    name: str
    limit: float
    measured: float

    @property
    def held(self) -> bool:
        """Whether the value is within the limit."""
        return self.measured <= self.limit


def judged(title: str, lines: Sequence[Line]) -> Table:
    """Every line with its limit, and whether the line held."""
    rows = [
        [line.name, _figure(line.limit), _figure(line.measured), "held" if line.held else "BROKEN"] for line in lines
    ]
    return Table(title, ["", "limit", "measured", ""], rows)


def broken(lines: Sequence[Line]) -> str:
    """The lines that did not hold, in words."""
    return "; ".join(
        f"{line.name} was {_figure(line.measured)}, and {_figure(line.limit)} is the limit"
        for line in lines
        if not line.held
    )


def _figure(value: float) -> str:
    return f"{value:,.4g}" if math.isfinite(value) else "nothing"


@dataclass(frozen=True)
class Verdict:
    """The limits with the measured values of a run, and whether all were held. against: where the limits are."""

    requests: int
    lines: list[Line]
    against: str = SLO_TOML

    @property
    def held(self) -> bool:
        """Whether every limit was held; a run without requests holds none."""
        return self.requests > 0 and all(line.held for line in self.lines)

    def table(self, against: str = "") -> str:
        """The lines as text."""
        title = f"{self.requests:,} requests for slates, against {against or self.against}"
        return f"\n{judged(title, self.lines).text()}"

    def summary(self, tally: Tally) -> str:
        """The table and the failures of the run; only the reason, if nothing was measured."""
        return f"\n{tally.lateness}" if tally.generator_late else "\n".join([self.table(), *tally.complaints])

    def to_json(self) -> dict[str, Any]:
        """For a file; a time without requests is null."""
        figures = {"held": self.held, **asdict(self)}
        for line in figures["lines"]:
            line["measured"] = line["measured"] if math.isfinite(line["measured"]) else None
        return figures


@dataclass(frozen=True)
class Slo:
    """The limits of /recommend at `rate` requests a second. source: the file and its table, if it is not slo.toml.

    freshness: the greatest age in seconds of what a slate is made from, by part.
    """

    rate: float
    deadline_ms: float
    p50_ms: float
    p99_ms: float
    error_share: float
    degraded_share: float
    source: str = SLO_TOML
    freshness: dict[str, float] = field(default_factory=dict)

    @classmethod
    def common(cls, stated: StatedPromises) -> Slo:
        """The promise of [recommend] and [freshness] in slo.toml."""
        return cls(**dict(stated.recommend), freshness=stated.ages)

    @classmethod
    def read(cls, name: str = DEFAULT) -> Slo:
        """The promise of a surface in surfaces.toml; that of [recommend] in slo.toml if the surface states none."""
        common, surface = cls.common(stated_promises()), surfaces().get(name)
        if surface is None or not (surface.promise or surface.ages):
            return common
        deadline_ms = surface.deadline_ms or common.deadline_ms
        source = f"{Environment.read().surfaces.name} [{name}]"
        own: dict[str, Any] = surface.promise or {}
        return replace(common, **own, deadline_ms=deadline_ms, source=source, freshness=common.freshness | surface.ages)

    def judge(self, tally: Tally) -> Verdict:
        """Compare a run with the limits. A rejected request counts as an error."""
        times = tally.of(*ANSWERED)
        lines = [
            Line("p50 ms", self.p50_ms, times.percentile(0.50)),
            Line("p99 ms", self.p99_ms, times.percentile(0.99)),
            Line("error share", self.error_share, tally.share(Outcome.FAILED, Outcome.REJECTED)),
            Line("degraded share", self.degraded_share, tally.share(Outcome.DEGRADED)),
        ]
        lines += [
            Line(f"share with {part} above {shown_duration(age)}", OLD_SHARE, tally.older_share(part, age))
            for part, age in self.freshness.items()
        ]
        return Verdict(tally.count(), lines, self.source)


@dataclass(frozen=True)
class Promises:
    """Every promise. verbs: by name, beside `recommend`. modes: p99 of its slates in ms, by mode. surfaces: those that
    promise something of their own. flows: the longest time between two successes in seconds, by flow. `recommend` has
    the promised freshness.
    """

    recommend: Slo
    verbs: dict[str, VerbPromise]
    modes: dict[str, float]
    surfaces: dict[str, Surface]
    flows: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls) -> Promises:
        """From slo.toml and surfaces.toml. SettingsError or SurfacesError if one of them is wrong."""
        stated = stated_promises()
        own = {name: surface for name, surface in surfaces().items() if surface.promise or surface.ages}
        return cls(Slo.common(stated), stated.verbs, stated.mode_p99_ms, own, stated.flows)


def surfaces() -> dict[str, Surface]:
    """The surfaces of the file that TANDEM_SURFACES names, or of surfaces.toml; without a file `default` alone.

    SurfacesError if the file is wrong, or named and missing.
    """
    environment = Environment.read()
    path = environment.surfaces
    if not path.exists() and not environment.surfaces_named:
        return parse("", path.name)
    try:
        return parse(path.read_text(encoding="utf-8", errors="surrogateescape"), path.name)
    except OSError as error:
        raise SurfacesError(f"{path} can't be read: {error.strerror}.") from error
