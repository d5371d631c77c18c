"""`python -m loadtests.bench.learning.torchrun_proof` (`make proofs`): do two processes of torchrun train as good a
model as one process, with the same batch?

Each training is a command of its own, on all cores. Another seed gives another model, so each seed trains
both. The difference is paired by seed and query. Its standard error is of the queries, clustered by user, and of the
seeds, as the root of both squares. Exit code 1 where two processes differ by more than two standard errors.
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
from itertools import product
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from loadtests.bench.command_result import error_sentences
from loadtests.options import count
from training import recipe
from training.config import small
from training.data import dataset
from training.data.interaction_log import encode
from training.evaluation.metrics import mean_and_error, ndcg, recall
from training.evaluation.ranking import rank_targets
from training.evaluation.scorers import stages
from training.processes import process_group

Training = dict[str, np.ndarray]
"""What `fit` saved of a training, and its CPU seconds."""

PROCESSES = {1: "one process", 2: "two processes"}
SEEDS = 5

ROWS = "tower", "two_stage"
METRICS = [f"{row} {metric}" for row in ROWS for metric in ("recall@10", "ndcg@10")]
K = 10
ERRORS = 2.0


def main() -> int:
    """Train, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.learning.torchrun_proof", description=__doc__)
    parser.add_argument("--data", default="data/movietweetings")
    parser.add_argument("--fit", type=Path, help="train once, on the processes that torchrun started, into this file")
    parser.add_argument("--seeds", type=count(2, 100), default=SEEDS, help=f"trainings of each; default: {SEEDS}")
    parser.add_argument("--seed", type=int, default=0, help="of --fit")
    options = parser.parse_args()
    if options.fit:
        with error_sentences(), process_group.joined() as runs:
            if runs:
                fit(options.data, options.seed, options.fit)
        return 0
    seeds = range(options.seeds)
    with error_sentences(), tempfile.TemporaryDirectory(prefix="tandem-proof-") as folder:
        found = {run: trained(options.data, *run, Path(folder) / "found.npz") for run in product(PROCESSES, seeds)}
    return compare(found, seeds)


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
    for name, ranking in rank_targets(parts, lambda _: scorers).items():
        found[f"{name} recall@10"] = recall(ranking.places, parts.query, K)
        found[f"{name} ndcg@10"] = ndcg(ranking.places, parts.query, K)
    np.savez(target, **found)


def trained(data: str, processes: int, seed: int, target: Path) -> Training:
    """Train in processes of their own; what `fit` saved, and their CPU seconds."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [*(torchrun if processes > 1 else []), "-m", "loadtests.bench.learning.torchrun_proof"]
    options = ["--data", data, "--seed", str(seed), "--fit", str(target)]
    print(f"{PROCESSES[processes]}, seed {seed}", flush=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *command, *options], check=False, env=os.environ | {"OMP_NUM_THREADS": "2"})
    if done.returncode:  # the training has printed why
        sys.exit(done.returncode)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return dict(np.load(target)) | {"cpu": np.array(cpu)}


def compare(found: dict[tuple[int, int], Training], seeds: range) -> int:
    """Print the means of the trainings, and how two processes differ from one; the exit code."""
    table = Table("", "epochs", "fits, s", "CPU s", *METRICS)
    for processes, name in PROCESSES.items():
        runs = [found[processes, seed] for seed in seeds]
        epochs, seconds, cpu, *figures = (
            f"{np.mean([run[key].mean() for run in runs]):{form}}"
            for key, form in [("epochs", ".1f"), ("seconds", ".0f"), ("cpu", ".0f"), *((key, ".4f") for key in METRICS)]
        )
        table.add_row(name, epochs, seconds, cpu, *figures)
    differences = {metric: difference(metric, found, seeds) for metric in METRICS}
    for name, at in ("two minus one", 0), ("error of the queries", 1), ("error of the seeds", 2):
        table.add_row(name, "", "", "", *(f"{figures[at]:.4f}" for figures in differences.values()))
    console = Console(width=180)
    console.print(table)
    apart = [
        f"{metric} of two processes differs by {mean:+.4f}; one standard error is {np.hypot(queries, draws):.4f}."
        for metric, (mean, queries, draws) in differences.items()
        if abs(mean) > ERRORS * np.hypot(queries, draws)
    ]
    console.print("\n".join(apart) or "Two processes train as good a model as one.")
    return 1 if apart else 0


def difference(metric: str, found: dict[tuple[int, int], Training], seeds: range) -> tuple[float, float, float]:
    """Two processes minus one: the mean, and its standard errors over queries and over seeds."""
    each = np.stack([found[2, seed][metric] - found[1, seed][metric] for seed in seeds])  # [seeds, queries]
    mean, of_queries = mean_and_error(each.mean(axis=0), found[1, seeds[0]]["users"])
    of_seeds = each.mean(axis=1).std(ddof=1) / len(each) ** 0.5
    return mean or 0.0, of_queries or 0.0, float(of_seeds)


if __name__ == "__main__":
    sys.exit(main())
