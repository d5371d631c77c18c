"""slo.toml, what a run measured, and whether the one held the other."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "loadtests" / "results"


class Tally:
    """Every response time as it was: Locust's own statistics round to 10 ms above 100 ms."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.failed = 0
        self.degraded = 0

    def add(self, milliseconds: float, answered: bool, degraded: bool) -> None:
        """Count one request."""
        self.times.append(milliseconds)
        self.failed += not answered
        self.degraded += degraded

    @property
    def requests(self) -> int:
        """How many were counted."""
        return len(self.times)

    def percentile(self, share: float) -> float:
        """Milliseconds that this share of requests stayed within."""
        if not self.times:
            return float("inf")
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


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

    def table(self) -> str:
        """For a person."""
        rows = [f"{'':16}{'limit':>10}{'measured':>10}"]
        rows += [
            f"{line.name:16}{line.limit:10.2f}{line.measured:10.2f}  {'held' if line.held else 'BROKEN'}"
            for line in self.lines
        ]
        return "\n".join([f"\n{self.requests:,} requests against slo.toml", *rows])

    def write(self) -> None:
        """For a program."""
        RESULTS.mkdir(parents=True, exist_ok=True)
        body = {"held": self.held, **asdict(self)}
        (RESULTS / "load.json").write_text(json.dumps(body, indent=2), encoding="utf-8")


@dataclass(frozen=True)
class Slo:
    """The promises for /recommend."""

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
        """Hold a run against the promises."""
        requests = max(tally.requests, 1)
        return Verdict(
            tally.requests,
            [
                Line("p50 ms", self.p50_ms, tally.percentile(0.50)),
                Line("p99 ms", self.p99_ms, tally.percentile(0.99)),
                Line("error share", self.error_share, tally.failed / requests),
                Line("degraded share", self.degraded_share, tally.degraded / requests),
            ],
        )
