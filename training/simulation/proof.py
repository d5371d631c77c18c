"""Run the deployments of a proof: each seed in each condition, on one lane for each core, and keep what is finished."""

from __future__ import annotations

import json
import shutil
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

from training.config import available_cores
from training.progress import RunProgress, StepProgress
from training.simulation.conditions import CONDITIONS, Condition, Day, SimulatedDays, train_first
from training.simulation.fitted_facts import Facts
from training.simulation.flow_worker import ROOT, FlowWorker
from training.simulation.market import Market
from training.simulation.simulated_clock import SimulatedClock

PACKAGES, SUFFIXES = ("flows", "recsys", "service", "training"), (".py", ".lua", ".c")
"""The code that a deployment runs."""

Results = Mapping[str, Sequence[Sequence[Day]]]
"""The days of each seed, by the name of the condition."""


class Proof:
    """Seeds times conditions of so many days.

    folder: keeps finished ones, which do not run again while the code is the same. A proof of other code runs anew.
    """

    def __init__(self, folder: Path, facts: Facts, seeds: int, days: int) -> None:
        self._code, self._folder, self._facts, self._seeds, self._days = code_digest(), folder, facts, seeds, days
        self._waiting = deque(seed for seed in range(seeds) if self._unfinished(seed))

    def run(self, progress: RunProgress) -> Results:
        """Run what is not finished, and return all days."""
        lanes = min(available_cores(), len(self._waiting))
        if lanes:
            with progress.step("simulated deployments") as step, ThreadPoolExecutor(lanes) as pool:
                for lane in [pool.submit(self._run_lane, number, step) for number in range(lanes)]:
                    lane.result()
        return {each.name: [self._read(seed, each) for seed in range(self._seeds)] for each in CONDITIONS}

    def _run_lane(self, number: int, step: StepProgress) -> None:
        """Run waiting seeds, with a clock and a worker that trains. After an error the other lanes begin no seed."""
        folder = self._folder / f"lane-{number}"
        try:
            clock = SimulatedClock(folder)
            with FlowWorker(folder, clock.variables) as worker:
                while self._waiting:
                    self._run_seed(self._waiting.popleft(), clock, worker, step)
        except BaseException:
            self._waiting.clear()
            raise

    def _run_seed(self, seed: int, clock: SimulatedClock, worker: FlowWorker, step: StepProgress) -> None:
        """Run the unfinished conditions of a seed. All begin with the generation of the same first log."""
        folder, market = self._folder / f"seed-{seed}", Market(self._facts, seed, self._days)
        train_first(folder / "first", market, clock, worker)
        for condition in self._unfinished(seed):
            own = folder / condition.name
            shutil.rmtree(own, ignore_errors=True)
            shutil.copytree(folder / "first", own)
            days = SimulatedDays(own, market, condition, clock, worker).run(self._days)
            text = json.dumps([asdict(day) for day in days], indent=1)
            self._path(seed, condition).write_text(text, encoding="utf-8")
            finished = self._seeds * len(CONDITIONS) - sum(len(self._unfinished(each)) for each in range(self._seeds))
            step(finished / (self._seeds * len(CONDITIONS)), f"seed {seed}, {condition.name}")
        shutil.rmtree(folder)

    def _unfinished(self, seed: int) -> list[Condition]:
        return [condition for condition in CONDITIONS if not self._path(seed, condition).exists()]

    def _path(self, seed: int, condition: Condition) -> Path:
        return self._folder / f"seed-{seed}-{condition.name}-{self._days}-days-{self._code}.json"

    def _read(self, seed: int, condition: Condition) -> list[Day]:
        return [Day(**day) for day in json.loads(self._path(seed, condition).read_text(encoding="utf-8"))]


def code_digest() -> str:
    """A digest of all code that a deployment runs: a proof of other code shows nothing about this code."""
    found = [path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.suffix in SUFFIXES]
    return sha256(b"".join(path.read_bytes() for path in sorted(found))).hexdigest()[:12]
