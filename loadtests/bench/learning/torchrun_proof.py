"""`python -m loadtests.bench.learning.torchrun_proof` (`make proofs`): do two processes of torchrun train as good a
model as one process, with the same batch?

Each training is a command of its own, with one thread a process. The difference is paired by query, and its standard
error is clustered by user. Exit code 1 where two processes differ by more than two standard errors.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from training import recipe
from training.config import small
from training.data import dataset
from training.data.interaction_log import encode
from training.evaluation.metrics import mean_and_error, ndcg, recall
from training.evaluation.ranking import rank_targets
from training.evaluation.scorers import stages
from training.processes import process_group

RUNS = {"one process": (1, 0), "two processes": (2, 0), "one process, another seed": (1, 1)}
"""The processes and the seed of each training; the first is what the others are compared with."""

ROWS = "tower", "two_stage"
METRICS = [f"{row} {metric}" for row in ROWS for metric in ("recall@10", "ndcg@10")]
K = 10
ERRORS = 2.0


def main() -> int:
    """Train, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.learning.torchrun_proof", description=__doc__)
    parser.add_argument("--data", default="data/movietweetings")
    parser.add_argument("--fit", type=Path, help="train once, on the processes that torchrun started, into this file")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.fit:
        with process_group.joined() as runs:
            if runs:
                fit(options.data, options.seed, options.fit)
        return 0
    with tempfile.TemporaryDirectory(prefix="tandem-proof-") as folder:
        costs = {name: trained(options.data, *run, Path(folder) / f"{name}.npz") for name, run in RUNS.items()}
        found = {name: dict(np.load(Path(folder) / f"{name}.npz")) for name in RUNS}
    return compare(found, costs)


def fit(data: str, seed: int, target: Path) -> None:
    """Train as an evaluation does, and save each query's user and metrics, and the wall seconds of the fits."""
    config = replace(small(), seed=seed)
    table = dataset.read(data)
    log = encode(table)
    parts, run, start = recipe.own_split(table, log, config), recipe.TrainingRun(config), time.monotonic()
    ranker = recipe.train_ranker(parts, run)
    stage = recipe.stage_before_test(parts, ranker, run)
    found: dict[str, np.ndarray] = {"seconds": np.array(time.monotonic() - start), "epochs": np.array(ranker.epochs)}
    scorers = {name: scorer for name, scorer in stages(stage, stage.ranker(ranker.net, log)).items() if name in ROWS}
    _, first = np.unique(parts.query, return_index=True)
    found["users"] = log.users[parts.test][first]
    for name, ranking in rank_targets(parts, scorers).items():
        found[f"{name} recall@10"] = recall(ranking.places, parts.query, K)
        found[f"{name} ndcg@10"] = ndcg(ranking.places, parts.query, K)
    np.savez(target, **found)


def trained(data: str, processes: int, seed: int, target: Path) -> float:
    """Train in processes of their own; their CPU seconds."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [*(torchrun if processes > 1 else []), "-m", "loadtests.bench.learning.torchrun_proof"]
    options = ["--data", data, "--seed", str(seed), "--fit", str(target)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *command, *options], check=True, env=os.environ | {"OMP_NUM_THREADS": "2"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare(found: dict[str, dict[str, np.ndarray]], costs: dict[str, float]) -> int:
    """Print each training and its difference from the first; the exit code."""
    (base, *_), apart = found.values(), list[str]()
    table = Table("training", "epochs", "fits, s", "CPU s", *METRICS)
    for name, one in found.items():
        cells = [f"{one[metric].mean():.4f}" for metric in METRICS]
        for at, metric in enumerate(METRICS if one is not base else ()):
            difference, error = mean_and_error(one[metric] - base[metric], one["users"])
            cells[at] += f" ({difference:+.4f}, error {error:.4f})"
            if RUNS[name][0] > 1 and abs(difference or 0) > ERRORS * (error or 0):
                apart.append(f"{metric} of {name} differs by {difference:+.4f}; one standard error is {error:.4f}.")
        table.add_row(name, str(one["epochs"]), f"{one['seconds']:.0f}", f"{costs[name]:.0f}", *cells)
    console = Console(width=180)
    console.print(table)
    console.print("\n".join(apart) or "Two processes train as good a model as one.")
    return 1 if apart else 0


if __name__ == "__main__":
    sys.exit(main())
