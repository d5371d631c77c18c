"""Proof that Dask workers lose no user: `python -m loadtests.workers.list_proof [--users 1M]`.

A generation that is not trained gets lists for all users: with one worker, with two, and with two of which one is
killed. The file and the lists in the store have to be equal after each run. Two workers may take 1.15 times the CPU
seconds of one, and each has to compute 40 to 60 % of the parts. Exit code 1 if a promise is broken.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import psutil
import pyarrow.parquet as pq
import redis
from rich.console import Console
from rich.table import Table

from flows.list_parts.list_work import ListWork
from flows.list_parts.user_lists import BUCKETS, lists_of_buckets
from flows.steps.list_making import make_all_lists
from loadtests.options import count
from recsys.environment import Environment
from recsys.generation.manifest import MANIFEST, USER_IDS, USER_RECORDS, GenerationFolder, Manifest, describe
from recsys.generation.packed_strings import StringTable
from recsys.generation.publisher import Publisher
from recsys.store.from_environment import OpenStore, open_store
from training.data import dataset
from training.data.generated_log import Shape, generate
from training.data.interaction_log import encode
from training.export import save_blobs
from training.processes.engine import Engine, open_engine
from training.progress import StepProgress, no_step, terminal_progress
from training.untrained_generation import some_users, untrained

MOST_CPU, SHARES, TOP = 1.15, (0.4, 0.6), 20
RECORDS_OF = 10
"""One in so many users of the log has a record of its own; the users of the proof have copies of these."""

P = TypeVar("P")
R = TypeVar("R")


@dataclass
class CountedEngine:
    """An engine that counts the parts of each process. kill_at: the part after which one of the processes is killed."""

    engine: Engine
    kill_at: int = 0
    parts: Counter[int] = field(default_factory=Counter)

    def map(self, function: Callable[[P], R], parts: Sequence[P], progress: StepProgress = no_step) -> Generator[R]:
        """The results in the order of the parts."""
        for pid, result in self.engine.map(partial(with_process, function), parts, progress):
            self.parts[pid] += 1
            if self.parts.total() == self.kill_at:
                os.kill(pid, signal.SIGKILL)
            yield result


def with_process(function: Callable[[P], R], part: P) -> tuple[int, R]:
    """The id of the process that computes a part, and its result."""
    return os.getpid(), function(part)


@dataclass(frozen=True)
class Run:
    """The figures of a run. cpu: seconds of the workers, without a killed one. driver: those of this process.

    lists: the number and the checksum of the lists in the store.
    """

    name: str
    made: int
    wall: float
    cpu: float
    driver: float
    shares: list[float]
    lists: tuple[int, int]
    file: Path


def main(arguments: list[str] | None = None) -> int:
    """Run the proof and print its table; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.workers.list_proof", description=__doc__)
    parser.add_argument("--users", type=count(1, 10**9), default=100_000, help="default: 100k")
    parser.add_argument("--items", type=count(1, 10**9), default=100_000, help="default: 100k")
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 130)
    home = Path(tempfile.mkdtemp(prefix="tandem-lists-"))
    os.environ.pop("REDIS_URL", None)
    os.environ["TANDEM_HOME"] = str(home)  # the workers read it
    environment = Environment.read()
    try:
        with open_store(environment) as store, terminal_progress() as progress:
            with progress.step("a generation, not trained"):
                manifest = publish(home, options.items, options.users, store)
            work, buckets = ListWork(manifest.id, time.time()), manifest.user_buckets
            lists_of_buckets(work, TOP, range(1))  # kernels are compiled, and the generation is cached, before all runs
            cases = ("one worker", "1", 0), ("two workers", "2", 0), ("two, one killed", "2", buckets // BUCKETS // 3)
            runs = []
            for case in cases:
                with progress.step(f"lists, {case[0]}") as step:
                    runs.append(make_lists(*case, work, buckets, store, environment, step))
        console.print(table(runs))
        broken = faults(runs, options.users)
    finally:
        shutil.rmtree(home)
    console.print("\n".join(broken) or "Every promise holds.", soft_wrap=True)
    return 1 if broken else 0


def publish(home: Path, items: int, users: int, store: OpenStore) -> Manifest:
    """Publish a generation that is not trained, with so many users, whose records repeat those of some users."""
    log = encode(dataset.read(generate(Shape(300_000, items), home / "data")))
    folder = untrained(home / "generations", log, some_users(log, RECORDS_OF), 0)
    _, records = folder.users()
    of_some = [records.bytes_at(row) for row in range(len(records))]
    StringTable.pack(f"user-{user}" for user in range(users)).save(folder.path, USER_IDS)
    save_blobs(folder.path, USER_RECORDS, (of_some[user % len(of_some)] for user in range(users)))
    manifest = folder.manifest
    manifest = replace(manifest, parts=describe(folder.path), dims=manifest.dims | {"users": users})
    (folder.path / MANIFEST).unlink()
    folder.seal(manifest)
    return Publisher(store.generations(), home / "trials").publish(GenerationFolder(folder.path))


def make_lists(
    name: str,
    workers: str,
    kill_at: int,
    work: ListWork,
    buckets: int,
    store: OpenStore,
    environment: Environment,
    progress: StepProgress,
) -> Run:
    """Make all lists on some workers and measure it. The lists are deleted from the store afterwards."""
    file, start, own = environment.home / f"{workers}-{kill_at}.parquet", time.monotonic(), time.process_time()
    with open_engine(replace(environment, dask=workers)) as engine:
        counted = CountedEngine(engine, kill_at)
        made = make_all_lists.fn(work, TOP, buckets, counted, store.flows(), file, progress)
        wall, driver = time.monotonic() - start, time.process_time() - own
        cpu = sum(_cpu_of(pid) for pid in counted.parts)
    progress(1.0, f"{cpu:.1f} s of CPU of its workers")
    shares = [parts / counted.parts.total() for _, parts in counted.parts.most_common()]
    return Run(name, made, wall, cpu, driver, shares, _taken(store.url, work.generation), file)


def _cpu_of(pid: int) -> float:
    """CPU seconds of a process; 0 for a process that was killed."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _taken(url: str, generation: str) -> tuple[int, int]:
    """The number and a checksum of the lists in the store, which are deleted."""
    count = checksum = 0
    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter(f"gen:{generation}:lists:*", count=1_000):
            for user, packed in client.hgetall(key).items():
                count, checksum = count + 1, checksum ^ zlib.crc32(user + packed)
            client.delete(key)
    return count, checksum


def table(runs: Sequence[Run]) -> Table:
    """The figures."""
    printed = Table("run", "lists", "wall s", "CPU s of workers", "CPU s of the driver", "parts of each worker")
    for run in runs:
        shares = ", ".join(f"{share:.0%}" for share in run.shares)
        printed.add_row(run.name, f"{run.made:,}", *(f"{x:.1f}" for x in (run.wall, run.cpu, run.driver)), shares)
    return printed


def faults(runs: Sequence[Run], users: int) -> list[str]:
    """The broken promises, each as a sentence."""
    one, two, killed = runs
    found, expected = [], pq.read_table(one.file)
    if two.cpu > MOST_CPU * one.cpu:
        found.append(f"Two workers take {two.cpu / one.cpu:.2f} times the CPU seconds of one, above {MOST_CPU}.")
    if not all(SHARES[0] <= share <= SHARES[1] for share in two.shares):
        found.append(f"A worker computes {max(two.shares):.0%} of the parts.")
    if len(killed.shares) < 2:
        found.append("No worker was killed.")
    if len(set(expected["user_id"].to_pylist())) != users:
        found.append("The file lacks users.")
    for run in runs:
        if run.made != users or run.lists != one.lists or run.lists[0] != users:
            found.append(f"{run.name}: {run.made:,} lists are made, and {run.lists[0]:,} are in the store, or differ.")
        if not pq.read_table(run.file).equals(expected):
            found.append(f"{run.name}: the file differs.")
    return found


if __name__ == "__main__":
    sys.exit(main())
