"""Proof that Dask reads and trains on a large log: `python -m loadtests.large_log [INTERACTIONS ITEMS]`.

A log of ten million interactions, one million items and two million users is generated, read and encoded in one
process, then with two workers of 3 GiB while a worker is killed three times: both logs have to be equal.
`python -m flows run` trains on the log with those workers. On a tenth of the log it trains with and without them: both
generations have to be equal. Each row is the time and the highest memory of each process.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from recsys.environment import Environment
from training.__main__ import size
from training.data.dataset import read
from training.data.generated_log import Shape, generate
from training.data.interaction_log import Log, encode
from training.processes.engine import open_engine

EVENTS_OF_A_USER = 2, 8
WORKERS, MEMORY, KILLS = "2", "3GiB", 3
SMALL = {
    "tower": {"dim": 16, "hidden": 32, "length": 10, "batch": 1_024, "epochs": 1, "negatives": 64},
    "ranker": {"queries": 500, "candidates": 50, "epochs": 1},
    "test_queries": 200,
    "precomputed": 0,
}
"""The recipe of the proof: what a training of ten million events needs on two cores without hours of networks."""

POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Run:
    """A finished program. result: the JSON that it printed. peaks: MiB of each process by its role and id."""

    seconds: float
    result: dict[str, Any]
    peaks: dict[str, float]


def main(arguments: list[str]) -> int:
    """Run the proof and print its table. Return 1 if a log or a generation differs."""
    if arguments[:1] == ["--read"]:
        print(json.dumps({"log": read_log(Path(arguments[1]), int(arguments[2]))}))
        return 0
    interactions, items = map(size, arguments or ("10M", "1M"))
    with TemporaryDirectory(prefix="tandem-large-") as name:
        folder = Path(name)
        for part in (1, 10):
            shape = Shape(interactions // part, items // part, session=EVENTS_OF_A_USER)
            generate(shape, folder / f"log-{part}")
        rows = dict(measured(folder))
    table = Table("run", "s", "MiB of each process", title=f"{interactions:,} interactions of {items:,} items")
    for row, run in rows.items():
        table.add_row(row, f"{run.seconds:.0f}", ", ".join(f"{who} {mib:,.0f}" for who, mib in run.peaks.items()))
    Console(width=160).print(table)
    logs = {run.result["log"] for run in rows.values() if "log" in run.result}
    parts = {json.dumps(run.result["parts"]) for row, run in rows.items() if "a tenth" in row}
    print(f"logs equal: {len(logs) == 1}; generations of a tenth equal: {len(parts) == 1}")
    return int(len(logs) != 1 or len(parts) != 1)


def measured(folder: Path) -> Iterator[tuple[str, Run]]:
    """The runs of the proof, by what they show."""
    whole, tenth = folder / "log-1", folder / "log-10"
    dask = {"TANDEM_DASK": WORKERS, "TANDEM_DASK_MEMORY": MEMORY}
    reading = ["-m", "loadtests.large_log", "--read", str(whole)]
    yield "read, one process", run([*reading, "0"], {})
    yield f"read, Dask, a worker killed {KILLS} times", run([*reading, str(KILLS)], dask)
    for row, data, variables in (
        ("flows run, a tenth", tenth, {}),
        ("flows run, a tenth, Dask", tenth, dask),
        ("flows run, Dask", whole, dask),
    ):
        home = folder / row.replace(" ", "-")
        settings = ["--config", "small", "--force", *(f"--set={name}={toml(value)}" for name, value in SMALL.items())]
        command = ["-m", "flows", "run", "--data", str(data), "--json", *settings]
        done = run(command, variables | {"TANDEM_HOME": str(home)})
        manifest = json.loads((home / "generations" / done.result["generation"] / "manifest.json").read_text())
        yield row, Run(done.seconds, {"parts": manifest["parts"]}, done.peaks)


def toml(value: object) -> str:
    """A value as `--set` takes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {each}" for name, each in value.items()) + "}"
    return str(value)


def run(arguments: list[str], variables: dict[str, str]) -> Run:
    """Run Python with these arguments, and measure all its processes until it ends."""
    start, peaks = time.monotonic(), dict[str, float]()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TANDEM_")} | variables
    with subprocess.Popen([sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            for each in (root := psutil.Process(process.pid), *root.children(recursive=True)):
                with suppress(OSError, psutil.Error, StopIteration):
                    peaks[f"{role(each)} {each.pid}"] = peak(each.pid)
            time.sleep(POLL_SECONDS)
        assert process.stdout is not None
        text = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}.")
    large = {who: mib for who, mib in peaks.items() if mib >= 100 or who.startswith("worker")}
    return Run(time.monotonic() - start, json.loads(text), large)


def role(process: psutil.Process) -> str:
    """A process as the table names it."""
    words = " ".join(process.cmdline())
    roles = {"spawn_main": "worker", "resource_tracker": "tracker", "valkey": "store", "prefect": "Prefect"}
    return next((name for mark, name in roles.items() if mark in words), "flow")


def peak(pid: int) -> float:
    """The highest resident memory of a process so far, MiB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def read_log(data: Path, kills: int) -> str:
    """The digest of the log that the engine of the settings reads. kills: workers to kill meanwhile."""
    killed = set[int]()

    def kill_a_worker(share: float, note: str = "", **figures: float) -> None:  # noqa: ARG001 StepProgress
        if len(killed) < kills and share >= (len(killed) + 1) / (kills + 2):
            workers = [each.pid for each in psutil.Process().children() if role(each) == "worker"]
            victim = next(pid for pid in workers if pid not in killed)
            os.kill(victim, signal.SIGKILL)
            killed.add(victim)

    with TemporaryDirectory() as home, open_engine(replace(Environment.read(), home=Path(home))) as engine:
        dataset = read(data, engine=engine, progress=kill_a_worker)
    assert len(killed) == kills
    return digest(encode(dataset))


def digest(log: Log) -> str:
    """The SHA-256 of a log's columns and ids."""
    found = hashlib.sha256(json.dumps([log.user_ids.tolist(), log.catalogue.ids.tolist()]).encode())
    for column in (log.users, log.items, log.times, log.types, log.contexts, log.weights):
        found.update(np.ascontiguousarray(column))
    return found.hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
