"""How the time and the memory of each training step grow with the data: the verb `bench`.

Each size is a generated log, measured in a process of its own, so that no size has another's memory. Some amounts of
work are the same at every size: the queries of the ranker and of the test, one epoch of the towers over every fifth
user, and the records of every tenth. The exponent of a step is the slope of log cost over log size: 1 is growth in step
with the data.
"""

from __future__ import annotations

import gc
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from rich.box import SIMPLE_HEAD
from rich.table import Table

from recsys.errors import TandemError
from training import recipe
from training.config import RankerConfig, available_cores, small
from training.data import dataset
from training.data.generated_log import Shape, generate
from training.data.interaction_log import encode
from training.evaluation.metric_table import Evaluation
from training.evaluation.ranking import metric_rows
from training.evaluation.scorers import baselines, stages
from training.evaluation.split import split
from training.export import export
from training.first_stage import FirstStage
from training.ranker.fit_ranker import fit_ranker
from training.tables.item_tables import build_tables
from training.towers.fit_towers import fit_towers
from training.untrained_generation import some_users

INTERACTIONS, ITEMS = (100_000, 1_000_000, 10_000_000), (10_000, 100_000, 1_000_000)
QUICK_INTERACTIONS, QUICK_ITEMS = (10_000, 100_000), (1_000, 10_000)

LIMIT = 1.15
"""Of an exponent between the two largest sizes: n log n has 1.07 between one million and ten; the rest is noise."""

LEAST_SECONDS, LEAST_MIB = 0.5, 50.0
"""Smaller costs are the cost of starting, and count as this much."""

CONFIG = replace(
    small(), tower=replace(small().tower, epochs=1), ranker=RankerConfig(queries=2_000), test_queries=1_000
)
TOWERS_OF, RECORDS_OF = 5, 10
"""The towers train on one user in so many, and one in so many has a record: ten million events take minutes."""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a step. seconds: of the clock. cpu: seconds of all cores. mib: peak memory above the start."""

    seconds: float
    cpu: float
    mib: float


@dataclass(frozen=True, slots=True)
class Point:
    """The costs of all steps at one size."""

    interactions: int
    items: int
    steps: Mapping[str, Cost]


@dataclass(frozen=True, slots=True)
class Axis:
    """Points that differ in one size, ascending. name: interactions or items."""

    name: str
    points: Sequence[Point]

    def exponents(self) -> dict[str, dict[str, float]]:
        """The exponents of CPU seconds and memory of each step between the two largest sizes; of one size none."""
        if len(self.points) < 2:
            return {}
        small, large = self.points[-2:]
        ratio = np.log(getattr(large, self.name) / getattr(small, self.name))

        def exponent(before: float, after: float, least: float) -> float:
            return round(float(np.log(max(after, least) / max(before, least)) / ratio), 3)

        return {
            step: {
                "cpu_last": exponent(small.steps[step].cpu, cost.cpu, LEAST_SECONDS),
                "mib_last": exponent(small.steps[step].mib, cost.mib, LEAST_MIB),
            }
            for step, cost in large.steps.items()
        }

    def violations(self) -> list[str]:
        """A sentence for each step that grows faster than LIMIT."""
        return [
            f"{step} grows too fast in {self.name}: CPU seconds by {found['cpu_last']:.2f}, memory by "
            f"{found['mib_last']:.2f} between the two largest."
            for step, found in self.exponents().items()
            if max(found.values()) > LIMIT
        ]

    def table(self) -> Table:
        """For a terminal: CPU seconds and MiB of each size, and the exponents of both."""
        other = "items" if self.name == "interactions" else "interactions"
        title = f"CPU seconds / MiB by {self.name}, at {getattr(self.points[0], other):,} {other}"
        table = Table("step", title=title, box=SIMPLE_HEAD, show_edge=False)
        for head in [*(f"{getattr(point, self.name):,}" for point in self.points), "exponents"]:
            table.add_column(head, justify="right", no_wrap=True)
        exponents = self.exponents()
        for step in self.points[0].steps:
            costs = [f"{point.steps[step].cpu:.1f} / {point.steps[step].mib:,.0f}" for point in self.points]
            table.add_row(step, *costs, " / ".join(f"{each:.2f}" for each in exponents.get(step, {}).values()))
        return table


def bench(interactions: Sequence[int], items: Sequence[int]) -> list[Axis]:
    """Measure each number of interactions at the middle number of items, and the other way round."""
    interactions, items = sorted(interactions), sorted(items)
    log, catalogue = interactions[len(interactions) // 2], items[len(items) // 2]
    sizes = [(n, catalogue) for n in interactions] + [(log, n) for n in items]
    points = {size: measure(*size) for size in dict.fromkeys(sizes)}
    return [
        Axis("interactions", [points[n, catalogue] for n in interactions]),
        Axis("items", [points[log, n] for n in items]),
    ]


def to_json(axes: Sequence[Axis]) -> dict[str, Any]:
    """The measurements for programs."""
    points = {(point.interactions, point.items): asdict(point) for axis in axes for point in axis.points}
    return {
        "machine": {"cores": available_cores(), "machine": platform.machine(), "python": platform.python_version()},
        "points": list(points.values()),
        "exponents": {axis.name: axis.exponents() for axis in axes},
        "violations": [violation for axis in axes for violation in axis.violations()],
    }


def measure(interactions: int, items: int) -> Point:
    """The costs of all steps at one size, measured in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        try:
            return process.submit(run_steps, interactions, items).result()
        except BrokenProcessPool as error:
            raise TandemError(
                f"The process that measured {interactions:,} interactions of {items:,} items was killed, most likely "
                "because memory ran out; the last line above names its last complete step."
            ) from error


def run_steps(interactions: int, items: int) -> Point:
    """Run every step from a dataset to a generation once."""
    recipe.use_threads(CONFIG)
    steps = Steps(f"{interactions:,} interactions, {items:,} items")
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as name:
        folder = Path(name)
        generate(Shape(interactions, items), folder / "data")
        table = steps.run("read", dataset.read, folder / "data")
        log = steps.run("encode", encode, table)
        del table
        parts = steps.run("split", split, log, CONFIG)
        learned, known = parts.before_labels, parts.before_test
        towers = steps.run("towers", fit_towers, some_users(learned, TOWERS_OF), CONFIG.tower, CONFIG.seed).towers
        tables = steps.run("item tables", build_tables, learned, towers)
        stage = FirstStage.over(towers, tables, learned.exclude_seen)
        net = steps.run("ranker", fit_ranker, parts, stage, CONFIG).net
        rivals, _ = steps.run("baselines", baselines, known, CONFIG.threads, CONFIG.seed)
        scorers = {**rivals, **stages(stage, stage.ranker(net))}
        rows = steps.run("evaluation", metric_rows, parts, scorers)
        del rivals, scorers
        model = recipe.TrainedModel(stage, net, Evaluation("rolling", 0, 0, 0, 0.0, rows))
        steps.run("export", export, folder / "generations", some_users(log, RECORDS_OF), model, CONFIG)
    return Point(interactions, items, steps.costs)


class Steps:
    """Runs steps and keeps their costs; prints a line for each step to stderr."""

    def __init__(self, name: str) -> None:
        torch.zeros(1).numpy()  # torch allocates memory once, which is no step's cost
        self._name = name
        self._start_mib = _peak_mib()
        self.costs: dict[str, Cost] = {}

    def run(self, name: str, step: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Run a step; its result."""
        gc.collect()
        start, cpu = time.monotonic(), time.process_time()
        result = step(*args, **named)
        seconds, cpu = time.monotonic() - start, time.process_time() - cpu
        cost = Cost(round(seconds, 3), round(cpu, 3), round(max(_peak_mib() - self._start_mib, 0.0), 1))
        self.costs[name] = cost
        line = f"{self._name} · {name}: {cost.seconds:.1f} s, {cost.cpu:.1f} CPU s, {cost.mib:,.0f} MiB"
        print(line, file=sys.stderr, flush=True)  # noqa: T201 a step may take minutes
        return result


def _peak_mib() -> float:
    """The highest resident memory since the last call where Linux can reset it, else since the process started."""
    reset, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    if not reset.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
    reset.write_text("5", encoding="ascii")
    return int(line.split()[1]) / 1024
