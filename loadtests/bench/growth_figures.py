"""What a deployment was over a catalogue of one size, with so many gateway processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loadtests.memory import Sample
from loadtests.bench.point import Point

Key = tuple[int, int]
"""Items, and processes of the gateway."""


@dataclass(frozen=True)
class Cell:
    """One deployment in one pass. points: by rate, ascending or not. memory: after them. knee: requests a second, 0
    where none held, None where it was not looked for.
    """

    items: int
    workers: int
    number: int
    points: Sequence[Point]
    memory: Sample
    knee: float | None

    @property
    def key(self) -> Key:
        """What it is one pass of."""
        return self.items, self.workers

    def line(self) -> str:
        """For a person who waits."""
        highest = "" if self.knee is None else f", holds {self.knee:.0f}/s"
        return f"   {self.items:,} items, {self.workers} gateways: {self.memory.memory:.0f} MiB{highest}"

    def to_json(self) -> dict[str, Any]:
        """For a file."""
        told = {"items": self.items, "workers": self.workers, "pass": self.number, "knee": self.knee}
        return told | {"memory": self.memory.to_json(), "points": [point.to_json() for point in self.points]}


def by_key(cells: Sequence[Cell]) -> dict[Key, list[Cell]]:
    """The passes of each, smallest catalogue first."""
    found: dict[Key, list[Cell]] = {}
    for cell in sorted(cells, key=lambda each: (each.key, each.number)):
        found.setdefault(cell.key, []).append(cell)
    return found
