"""The CPU of a request by process, and the floor below it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from loadtests.bench.floor import Floor
from loadtests.bench.point import Point

NO_FLOOR = Floor(0.0, 0.0)


@dataclass(frozen=True)
class Part:
    """One load in one pass. batch: queries a call, about. roles: CPU ms a request of each process, by its role."""

    number: int
    point: Point
    batch: int
    roles: dict[str, float]
    floor: Floor = NO_FLOOR

    def over(self, floor: Floor) -> Part:
        """The same, beside what its kernels take."""
        return replace(self, floor=floor)

    @property
    def kernels(self) -> float:
        """CPU ms of the kernels by themselves."""
        return self.floor.retrieval + self.floor.ranking

    def to_json(self) -> dict[str, Any]:
        """For a file."""
        return {"pass": self.number, "batch": self.batch, "roles": self.roles} | {
            "floor": asdict(self.floor),
            "point": self.point.to_json(),
        }
