"""Checks a cost profile, the measured CPU and memory of a deployment, against measurements that it has not seen.

`python -m loadtests.bench.cost_profile --check` uses it. `python -m training advise` reads the profile.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from recsys.files.atomic_write import atomic_write
from training.advisor.checklist import Mode
from training.advisor.cost import CostProfile, Memory, Point, Workload, cost_of
from training.report.page import Table

CPU_LIMIT, BYTES_LIMIT = 0.25, 0.15
"""The largest difference of a prediction, as a share of the measured value."""


@dataclass(frozen=True)
class Prediction:
    """A predicted value beside the measured one."""

    name: str
    predicted: float
    measured: float
    limit: float

    @property
    def difference(self) -> float:
        """As a share of the measured value; above 0 if the prediction is too high."""
        return self.predicted / self.measured - 1

    @property
    def held(self) -> bool:
        """Whether the difference is within the limit."""
        return abs(self.difference) <= self.limit


def write_profile(profile: CostProfile, path: Path) -> None:
    """Write the file that `CostProfile.read` reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as draft:
        draft.write_text(json.dumps(asdict(profile), indent=2), encoding="utf-8")


def predicted_cpu(profile: CostProfile, points: Iterable[Point]) -> list[Prediction]:
    """CPU ms a slate at each point, between the points of the profile."""
    return [
        Prediction(
            f"{point.mode} at {point.rate:g}/s: CPU ms a slate",
            profile.cpu(point.mode).at(point.rate),
            point.cpu_ms,
            CPU_LIMIT,
        )
        for point in points
    ]


def predicted_bytes(profile: CostProfile, measured: Memory) -> list[Prediction]:
    """Bytes in Redis of a generation, and of it with a list for each user, as the costs of a mode have them.

    measured: of a store, with all users.
    """
    workload = Workload(users=measured.users, items=measured.items)
    generation = measured.parts_bytes + measured.records_bytes
    with_lists = generation + measured.users * measured.list_bytes
    return [
        Prediction(name, cost_of(mode, profile, workload, 1.0).redis_bytes / 2**20, size / 2**20, BYTES_LIMIT)
        for name, mode, size in (
            ("generation: MiB in Redis", Mode.REALTIME, generation),
            ("generation and lists: MiB in Redis", Mode.BATCH, with_lists),
        )
    ]


def checked(predictions: Sequence[Prediction]) -> Table:
    """Every prediction with its difference in per cent, and whether it is within its limit."""
    rows = [
        [
            each.name,
            f"{each.predicted:,.4g}",
            f"{each.measured:,.4g}",
            f"{each.difference:+.1%}",
            f"{each.limit:.0%}",
            "held" if each.held else "BROKEN",
        ]
        for each in predictions
    ]
    return Table("The cost profile against new measurements", ["", "predicted", "measured", "", "limit", ""], rows)
