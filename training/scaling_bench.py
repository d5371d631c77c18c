"""Benchmark of training, the command `python -m training bench`: how the time and memory of each step grow with the
size of the data.

Each size is a generated log, measured in a process of its own, so that no size has another's memory. The exponent of a
step is the slope of log cost over log size: 1 is growth in proportion to the data.
"""

from __future__ import annotations

import gc
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from recsys.errors import TandemError
from training import recipe
from training.config import RankerConfig, small
from training.data import dataset
from training.data.generated_log import Shape, generate
from training.data.interaction_log import encode
from training.evaluation.metric_table import Evaluation
from training.evaluation.ranking import metric_rows
from training.evaluation.scorers import baselines, stages
from training.evaluation.split import split
from training.export import export
from training.ranker.fit_ranker import fit_ranker
from training.retrieval_stage import FirstStage
from training.tables.item_tables import build_tables
from training.towers.fit_towers import fit_towers
from training.untrained_generation import some_users

INTERACTIONS, ITEMS = (100_000, 1_000_000, 10_000_000), (10_000, 100_000, 1_000_000)
QUICK_INTERACTIONS, QUICK_ITEMS = (10_000, 100_000), (1_000, 10_000)

CONFIG = replace(
    small(), tower=replace(small().tower, epochs=1), ranker=RankerConfig(queries=2_000), test_queries=1_000
)
TOWERS_OF, RECORDS_OF = 5, 10
"""The towers train on one user in so many, and one in so many has a record: ten million events take minutes."""

LEAST_SECONDS, LEAST_MIB = 0.5, 50.0
"""Smaller costs are the cost of starting. They count as this much in an exponent."""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Point:
    """The costs of each step at one size of the data: CPU seconds, and the highest memory so far in MiB."""

    interactions: int
    items: int
    steps: dict[str, tuple[float, float]] = field(default_factory=dict)


def bench(interactions: Sequence[int], items: Sequence[int]) -> list[list[Point]]:
    """Measure each number of interactions at the middle number of items, and each number of items at the middle log."""
    interactions, items = sorted(interactions), sorted(items)
    log, catalogue = interactions[len(interactions) // 2], items[len(items) // 2]
    by_interactions, by_items = [(n, catalogue) for n in interactions], [(log, n) for n in items]
    points = {size: measure(*size) for size in dict.fromkeys(by_interactions + by_items)}
    return [[points[size] for size in axis] for axis in (by_interactions, by_items)]


def growth_table(points: Sequence[Point]) -> Table:
    """The costs of points of ascending size, and their exponents between the two largest, for a terminal."""
    found = Table("step", title="CPU seconds / MiB, and their exponents", box=SIMPLE_HEAD, show_edge=False)
    for head in [*(f"{point.interactions:,}\nof {point.items:,}" for point in points), "exponents"]:
        found.add_column(head, justify="right", no_wrap=True)
    for step in points[0].steps:
        costs = [f"{cpu:.1f} / {mib:,.0f}" for cpu, mib in (point.steps[step] for point in points)]
        found.add_row(step, *costs, " / ".join(f"{each:.2f}" for each in exponents(points, step)))
    return found


def exponents(points: Sequence[Point], step: str) -> list[float]:
    """The exponents of a step's CPU seconds and memory between the two largest sizes; none of one size."""
    if len(points) < 2:
        return []
    before, after = points[-2:]
    size = np.log(after.interactions * after.items) - np.log(before.interactions * before.items)
    costs = zip(before.steps[step], after.steps[step], (LEAST_SECONDS, LEAST_MIB), strict=True)
    return [round(float(np.log(max(new, least) / max(old, least)) / size), 3) for old, new, least in costs]


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
    point = Point(interactions, items)

    def run(name: str, step: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        gc.collect()
        start = time.process_time()
        result = step(*args, **named)
        cpu, peak = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        point.steps[name] = round(cpu, 3), round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
        line = f"{interactions:,} interactions, {items:,} items · {name}: {cpu:.1f} CPU s"
        print(line, file=sys.stderr, flush=True)  # noqa: T201 a step may take minutes
        return result

    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as name:
        folder = Path(name)
        generate(Shape(interactions, items), folder / "data")
        log = run("encode", encode, run("read", dataset.read, folder / "data"))
        parts = run("split", split, log, CONFIG)
        learned = parts.before_labels
        towers = run("towers", fit_towers, some_users(learned, TOWERS_OF), CONFIG.tower, CONFIG.seed).towers
        stage = FirstStage.over(towers, run("item tables", build_tables, learned, towers), learned.exclude_seen)
        net = run("ranker", fit_ranker, parts, stage, CONFIG).net
        rivals, _ = run("baselines", baselines, parts.before_test, CONFIG.threads, CONFIG.seed)
        rows = run("evaluation", metric_rows, parts, {**rivals, **stages(stage, stage.ranker(net))})
        model = recipe.TrainedModel(stage, net, Evaluation("rolling", 0, 0, 0, 0.0, rows))
        run("export", export, folder / "generations", some_users(log, RECORDS_OF), model, CONFIG)
    return point
