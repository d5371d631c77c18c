"""slo.toml, what a run measured, and whether the one held the other."""

from __future__ import annotations

import math
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loadtests.tally import ANSWERED, Outcome, Tally

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "loadtests" / "results"


@dataclass(frozen=True)
class Line:
    """One promise and what was measured."""

    name: str
    limit: float
    measured: float

    @property
    def held(self) -> bool:
        """Whether it was kept."""
        return self.measured <= self.limit


@dataclass(frozen=True)
class Verdict:
    """Every line, and whether all held."""

    requests: int
    lines: list[Line]

    @property
    def held(self) -> bool:
        """Whether every line was kept; a run without requests keeps nothing."""
        return self.requests > 0 and all(line.held for line in self.lines)

    def table(self, against: str = "slo.toml") -> str:
        """For a person."""
        rows = [f"{'':16}{'limit':>10}{'measured':>10}"]
        rows += [
            f"{line.name:16}{line.limit:10.2f}{line.measured:10.2f}  {'held' if line.held else 'BROKEN'}"
            for line in self.lines
        ]
        return "\n".join([f"\n{self.requests:,} requests for slates, against {against}", *rows])

    def summary(self, tally: Tally) -> str:
        """The table and what failed in the run; where the generator was late, only that nothing was measured."""
        return f"\n{tally.lateness}" if tally.generator_late else "\n".join([self.table(), *tally.complaints])

    def to_json(self) -> dict[str, Any]:
        """For a program; a time of nothing is null."""
        told = {"held": self.held, **asdict(self)}
        for line in told["lines"]:
            line["measured"] = line["measured"] if math.isfinite(line["measured"]) else None
        return told


@dataclass(frozen=True)
class Slo:
    """The promises for /recommend, at `rate` requests a second."""

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
        """Hold a run against the promises. Who is rejected was promised a slate, too."""
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
