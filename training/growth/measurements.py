"""How each step of training grows: generated logs of several sizes, and what every step takes on each.

Each size runs in a process of its own, so that none pays for another's memory. The work that a person chooses the
amount of is the same at every size (the queries of the ranker and of the test) or stated (one epoch of the towers
over every fifth user, the records of every tenth); the rest is what the data asks for.
"""

from __future__ import annotations

import gc
import platform
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
import torch

from recsys.errors import TandemError
from recsys.model.towers import Towers
from training import recipe
from training.config import TrainingConfig, available_cores, small
from training.data import dataset
from training.data.generated_log import Shape, generate
from training.data.interaction_log import Log, encode
from training.evaluation.metric_table import Evaluation
from training.evaluation.ranking import evaluate
from training.evaluation.scorers import baselines, stages
from training.evaluation.split import Split, split
from training.export import export
from training.first_stage import FirstStage
from training.growth.exponents import Axis, Bench, Cost, Point
from training.ranker.fit_ranker import fit_ranker
from training.tables.item_tables import build_tables
from training.towers.fit_towers import fit_towers

INTERACTIONS, ITEMS = (100_000, 1_000_000, 10_000_000), (10_000, 100_000, 1_000_000)
QUICK_INTERACTIONS, QUICK_ITEMS = (10_000, 100_000), (1_000, 10_000)

RANKER_QUERIES, TEST_QUERIES = 2_000, 1_000
TAUGHT, EXPORTED = 5, 10
"""One user in so many teaches the towers, and one in so many gets a record: ten million events take minutes."""

P = ParamSpec("P")
T = TypeVar("T")


def bench(interactions: Sequence[int], items: Sequence[int]) -> Bench:
    """Measure each number of interactions at the middle number of items, and the other way round."""
    interactions, items = sorted(interactions), sorted(items)
    log, catalogue = interactions[len(interactions) // 2], items[len(items) // 2]
    sizes = [(n, catalogue) for n in interactions] + [(log, n) for n in items]
    points = {size: measure(*size) for size in dict.fromkeys(sizes)}
    return Bench(
        machine={"cores": available_cores(), "machine": platform.machine(), "python": platform.python_version()},
        axes=[
            Axis("interactions", [points[n, catalogue] for n in interactions]),
            Axis("items", [points[log, n] for n in items]),
        ],
    )


def measure(interactions: int, items: int) -> Point:
    """What each step takes at one size, measured in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        try:
            return fresh.submit(walk, interactions, items).result()
        except BrokenProcessPool as error:
            raise TandemError(
                f"The process that measured {interactions:,} interactions of {items:,} items was killed, most likely "
                "for want of memory; the last line above names its last whole step."
            ) from error


def walk(interactions: int, items: int) -> Point:
    """Take every step from a dataset to a generation once."""
    config = settings()
    recipe.use_threads(config)
    steps = Steps(f"{interactions:,} interactions, {items:,} items")
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as name:
        folder = Path(name)
        generate(Shape(interactions, items), folder / "data")
        table = steps.take("read", dataset.read, folder / "data")
        log = steps.take("encode", encode, table)
        del table
        parts, learn, known = steps.take("split", _cut, log, config)
        towers = steps.take("towers", fit_towers, some_users(learn, TAUGHT), config.tower, config.seed).towers
        stage = steps.take("item tables", _stage, learn, towers)
        queries = config.ranker.queries
        steps.take("candidates", _retrieve, known, parts.labels[-queries:], stage)
        net = steps.take("ranker", fit_ranker, parts, stage, config.ranker, config.seed).net
        rivals, _ = steps.take("baselines", baselines, known, config.threads, config.seed)
        rows = steps.take("evaluation", evaluate, parts, {**rivals, **stages(stage, stage.ranker(net))})
        del rivals
        trained = recipe.Trained(stage, net, Evaluation("rolling", 0, 0, 0, 0.0, rows))
        steps.take("export", export, folder / "generations", some_users(log, EXPORTED), trained, config)
    return Point(interactions, items, steps.costs)


def settings() -> TrainingConfig:
    """Those of `small()`, with an amount of work that is stated."""
    config = small()
    return replace(
        config,
        tower=replace(config.tower, epochs=1),
        ranker=replace(config.ranker, queries=RANKER_QUERIES),
        test_queries=TEST_QUERIES,
    )


def some_users(log: Log, every: int) -> Log:
    """The events of one user in `every`."""
    kept = log[log.users % every == 0]
    return replace(kept, users=kept.users // every, user_ids=log.user_ids[::every])


def _cut(log: Log, config: TrainingConfig) -> tuple[Split, Log, Log]:
    """The split, and what it makes when it is asked."""
    parts = split(log, config)
    return parts, parts.before_labels, parts.before_test


def _stage(log: Log, towers: Towers) -> FirstStage:
    return FirstStage.over(towers, build_tables(log, towers), log.exclude_seen)


def _retrieve(log: Log, events: np.ndarray, stage: FirstStage, chunk: int = 256) -> None:
    for start in range(0, len(events), chunk):
        stage.retriever.retrieve(log.histories(events[start : start + chunk]))


class Steps:
    """Takes steps one after the other and notes what each cost; a line for each goes to stderr."""

    def __init__(self, name: str) -> None:
        torch.zeros(1).numpy()  # what torch allocates once is nobody's cost
        self._name = name
        self._born = resident()
        self.costs: dict[str, Cost] = {}

    def take(self, name: str, step: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """What `step` gives."""
        gc.collect()
        forget_peak()
        start, worked = time.monotonic(), time.process_time()
        taken = step(*args, **named)
        cost = Cost(
            seconds=round(time.monotonic() - start, 3),
            cpu=round(time.process_time() - worked, 3),
            mib=round(max(peak() - self._born, 0.0), 1),
        )
        self.costs[name] = cost
        told = f"{cost.seconds:.1f} s, {cost.cpu:.1f} CPU s, {cost.mib:,.0f} MiB"
        print(f"{self._name} · {name}: {told}", file=sys.stderr, flush=True)  # noqa: T201 who waits wants to know
        return taken


def forget_peak() -> None:
    """Let the peak begin anew, where the system can: Linux. Elsewhere a step's peak is that of all before it too."""
    forgetful = Path("/proc/self/clear_refs")
    if forgetful.exists():
        forgetful.write_text("5", encoding="ascii")


def peak() -> float:
    """The highest resident memory since `forget_peak`, MiB."""
    return _status("VmHWM")


def resident() -> float:
    """The resident memory now, MiB."""
    return _status("VmRSS")


def _status(field: str) -> float:
    try:
        found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    except OSError:
        found = None
    if found:
        return int(found[1]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
