"""Benchmark of training: how the CPU time and the memory of each step grow with the size of the data.

`python -m loadtests.bench.training_growth [100k/100k 1M/100k ...]` takes numbers of interactions and of items. Each
size is a generated log, which a process of its own trains on once.
"""

from __future__ import annotations

import argparse
import gc
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

from rich.console import Console
from rich.table import Table

from loadtests.options import count
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

SIZES = (10**5, 10**5), (10**6, 10**5), (10**7, 10**5), (10**6, 10**6)
"""Interactions and items."""

CONFIG = replace(
    small(), tower=replace(small().tower, epochs=1), ranker=RankerConfig(queries=2_000), test_queries=1_000
)
TOWERS_OF, RECORDS_OF = 5, 10
"""The towers train on one user in so many, and one in so many has a record: ten million events take minutes."""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class StepCost:
    """CPU seconds of a step, and the highest memory of the process during the step."""

    cpu_s: float
    mib: float

    def __str__(self) -> str:
        """A cell of the table."""
        return f"{self.cpu_s:.1f} / {self.mib:,.0f}"


@dataclass(frozen=True)
class Growth:
    """What a training on a log of one size takes. users: of the log."""

    users: int
    steps: dict[str, StepCost]


def log_size(text: str) -> tuple[int, int]:
    """Interactions and items of an option."""
    interactions, _, items = text.partition("/")
    return count(1, 10**9)(interactions), count(1, 10**9)(items)


def main() -> None:
    """Measure the sizes and print the table."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.training_growth", description=__doc__)
    parser.add_argument("sizes", nargs="*", type=log_size, default=SIZES, metavar="INTERACTIONS/ITEMS")
    table, rows = Table("step", title="CPU seconds / MiB"), dict[str, list[str]]()
    for interactions, items in parser.parse_args().sizes:
        for step, cost in measured(interactions, items).steps.items():
            rows.setdefault(step, []).append(str(cost))
        table.add_column(f"{interactions:,}\nof {items:,}", justify="right")
    for step, costs in rows.items():
        table.add_row(step, *costs)
    Console().print(table)


def measured(interactions: int, items: int) -> Growth:
    """Train once on a log of this size, in a process of its own: no size has another's memory."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(run_steps, interactions, items).result()


def run_steps(interactions: int, items: int) -> Growth:
    """Run every step from a dataset to a generation once."""
    recipe.use_threads(CONFIG)
    costs = {}

    def run(name: str, step: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        gc.collect()
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # Linux forgets the peak of earlier steps
        start = time.process_time()
        result = step(*args, **named)
        mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        costs[name] = StepCost(time.process_time() - start, mib)
        print(f"{interactions:,} interactions, {items:,} items · {name}: {costs[name]}", file=sys.stderr, flush=True)
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
        rows = run("evaluation", metric_rows, parts, {**rivals, **stages(stage, stage.ranker(net, log))})
        model = recipe.TrainedModel(stage, net, Evaluation("rolling", 0, 0, 0, 0.0, rows))
        run("export", export, folder / "generations", some_users(log, RECORDS_OF), model, CONFIG)
    return Growth(len(log.user_ids), costs)


if __name__ == "__main__":
    main()
