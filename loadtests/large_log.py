"""Proof that Dask reads and trains on a large log: `python -m loadtests.large_log`.

A log of ten million interactions, one million items and two million users is generated. `python -m flows run` trains on
a tenth of it in one process, then on the tenth and on the whole with two workers of 3 GiB, three of which are killed
while they work. Both generations of the tenth have to be equal. Each row is the time and the highest memory of each
process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from loadtests.options import count
from training.data.generated_log import Shape, generate

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

KILL_AFTER = 6.0
"""Seconds of CPU after which a worker is killed: its start takes about 4."""


@dataclass(frozen=True)
class Run:
    """A finished training. parts: of its manifest. killed: workers. peaks: MiB of each process by its role and id."""

    seconds: float
    parts: dict[str, Any]
    killed: int
    peaks: dict[str, float]


def main() -> int:
    """Run the proof and print its table. Return 1 if the generations differ or a worker lived on."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.large_log", description=__doc__)
    parser.add_argument("--interactions", type=count(1, 10**9), default=10_000_000, help="default: 10M")
    parser.add_argument("--items", type=count(1, 10**9), default=1_000_000, help="default: 1M")
    options = parser.parse_args()
    interactions, items = options.interactions, options.items
    with TemporaryDirectory(prefix="tandem-large-") as name:
        folder = Path(name)
        for part in (1, 10):
            shape = Shape(interactions // part, items // part, session=EVENTS_OF_A_USER)
            generate(shape, folder / f"log-{part}")
        rows = dict(measured(folder))
    table = Table(
        "run", "s", "killed", "MiB of each process", title=f"{interactions:,} interactions of {items:,} items"
    )
    for row, run in rows.items():
        peaks = ", ".join(f"{who} {mib:,.0f}" for who, mib in run.peaks.items())
        table.add_row(row, f"{run.seconds:.0f}", str(run.killed), peaks)
    Console(width=160).print(table)
    alone, shared, large = rows.values()
    equal, killed = alone.parts == shared.parts, min(shared.killed, large.killed)
    print(f"generations of a tenth equal: {equal}; workers killed: {killed} of {KILLS}")
    return int(not equal or killed < KILLS)


def measured(folder: Path) -> Iterator[tuple[str, Run]]:
    """The runs of the proof, by what they show."""
    whole, tenth = folder / "log-1", folder / "log-10"
    dask = {"TANDEM_DASK": WORKERS, "TANDEM_DASK_MEMORY": MEMORY}
    for row, data, variables in (("a tenth", tenth, {}), ("a tenth, Dask", tenth, dask), ("Dask", whole, dask)):
        yield row, run(data, folder / row.replace(" ", "-"), variables)


def toml(value: object) -> str:
    """A value as `--set` takes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {each}" for name, each in value.items()) + "}"
    return str(value)


def run(data: Path, home: Path, dask: dict[str, str]) -> Run:
    """Train on a folder in a process of its own, measure all its processes, and kill workers if there are any."""
    settings = ["--config", "small", "--force", *(f"--set={name}={toml(value)}" for name, value in SMALL.items())]
    command = [sys.executable, "-m", "flows", "run", "--data", str(data), "--json", *settings]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("TANDEM_")}
    start, peaks, killed = time.monotonic(), dict[str, float](), set[int]()
    with subprocess.Popen(
        command, env=variables | dask | {"TANDEM_HOME": str(home)}, stdout=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None:
            for each in (root := psutil.Process(process.pid), *root.children(recursive=True)):
                with suppress(OSError, psutil.Error, StopIteration):
                    peaks[f"{role(each)} {each.pid}"] = peak(each.pid)
                    if role(each) == "worker" and len(killed) < KILLS and each.cpu_times().user > KILL_AFTER:
                        each.kill()
                        killed.add(each.pid)
            time.sleep(POLL_SECONDS)
        assert process.stdout is not None
        text = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(command[1:])} ended with {process.returncode}.")
    manifest = json.loads((home / "generations" / json.loads(text)["generation"] / "manifest.json").read_text())
    large = {who: mib for who, mib in peaks.items() if mib >= 100 or who.startswith("worker")}
    return Run(time.monotonic() - start, manifest["parts"], len(killed), large)


def role(process: psutil.Process) -> str:
    """A process as the table names it."""
    words = " ".join(process.cmdline())
    roles = {"spawn_main": "worker", "resource_tracker": "tracker", "valkey": "store", "prefect": "Prefect"}
    return next((name for mark, name in roles.items() if mark in words), "flow")


def peak(pid: int) -> float:
    """The highest resident memory of a process so far, MiB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    sys.exit(main())
