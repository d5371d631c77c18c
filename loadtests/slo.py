"""Service level objectives: the limits that slo.toml sets for the service, and the verdict on a load test."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loadtests.tally import ANSWERED, Outcome, Tally
from training.report.page import Table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "loadtests" / "results"

BROKEN, LATE_GENERATOR = 1, 3
"""Exit codes: a limit did not hold; the generator was late or incomplete, so that nothing was measured."""


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
    """The limits with the measured values of a run, and whether all were held."""

    requests: int
    lines: list[Line]

    @property
    def held(self) -> bool:
        """Whether every limit was held; a run without requests holds none."""
        return self.requests > 0 and all(line.held for line in self.lines)

    def table(self, against: str = "slo.toml") -> str:
        """The lines as text."""
        return f"\n{judged(f'{self.requests:,} requests for slates, against {against}', self.lines).text()}"

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
    """The limits of /recommend at `rate` requests a second."""

    rate: float
    deadline_ms: float
    p50_ms: float
    p99_ms: float
    error_share: float
    degraded_share: float

    @classmethod
    def read(cls) -> Slo:
        """From slo.toml."""
        with (ROOT / "slo.toml").open("rb") as file:
            recommend = tomllib.load(file)["recommend"]
        return cls(**{name: recommend[name] for name in cls.__dataclass_fields__})

    def judge(self, tally: Tally) -> Verdict:
        """Compare a run with the limits. A rejected request counts as an error."""
        times = tally.of(*ANSWERED)
        return Verdict(
            tally.count(),
            [
                Line("p50 ms", self.p50_ms, times.percentile(0.50)),
                Line("p99 ms", self.p99_ms, times.percentile(0.99)),
                Line("error share", self.error_share, tally.share(Outcome.FAILED, Outcome.REJECTED)),
                Line("degraded share", self.degraded_share, tally.share(Outcome.DEGRADED)),
            ],
        )
