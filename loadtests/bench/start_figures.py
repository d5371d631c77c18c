"""What starts of a deployment were, and whether they held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from loadtests.slo import Line, Verdict

READY_SECONDS = 15.0
"""Limit of the time to /readyz, for the fastest warm start."""

CPU_SECONDS = 25.0
"""Limit of the CPU of all processes until then, for each warm start."""

FIRST_MS = 150.0
"""Limit of each of the first answers of each warm start."""


@dataclass(frozen=True)
class Start:
    """One start. number: 0 of the cold start, which fetches everything. ready: seconds. cpu: seconds of all processes
    until then. first: milliseconds of each of the first answers; infinite for one that is degraded or missing.
    """

    topology: str
    number: int
    ready: float
    cpu: float
    first: tuple[float, ...]

    @property
    def warm(self) -> bool:
        """Whether another start went before it."""
        return self.number > 0

    def line(self) -> str:
        """For a terminal."""
        return (
            f"   {'warm' if self.warm else 'cold'} start of {self.topology}: ready after {self.ready:.1f} s and "
            f"{self.cpu:.1f} s of CPU, first answer {self.first[0]:.1f} ms, the slowest of {len(self.first)} "
            f"{max(self.first):.1f} ms"
        )

    def to_json(self) -> dict[str, Any]:
        """For a file; an answer that never came is null."""
        first = [each if each < inf else None for each in self.first]
        ready = {"ready_s": self.ready, "ready_cpu_s": self.cpu}
        return {"topology": self.topology, "number": self.number, **ready, "first_ms": first}


def verdict(starts: Sequence[Start]) -> Verdict:
    """The lines of each topology, over its warm starts. requests: the first answers."""
    lines = []
    for topology in dict.fromkeys(each.topology for each in starts):
        warm = [each for each in starts if each.topology == topology and each.warm]
        lines.append(Line(f"{topology}: seconds to ready, fastest", READY_SECONDS, min(each.ready for each in warm)))
        lines.append(Line(f"{topology}: CPU seconds to ready, most", CPU_SECONDS, max(each.cpu for each in warm)))
        slowest = max(max(each.first) for each in warm)
        lines.append(Line(f"{topology}: first answers, slowest ms", FIRST_MS, slowest))
    return Verdict(sum(len(each.first) for each in starts), lines)
