"""One simulated deployment: its condition (what it learns from), its days, and what is measured on each day."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recsys.types import I64, Bool
from training.simulation import market_files
from training.simulation.deployment import Deployment
from training.simulation.flow_worker import FlowFailed, FlowWorker
from training.simulation.market import PLACES, Market, Visits
from training.simulation.market_files import item_id, rows_of, user_id
from training.simulation.simulated_clock import SimulatedClock

COUNTS_SECONDS = 0.7
"""Real seconds after which a deployment has read the counts of events by a clock that stepped."""

NIGHT = 26.0
"""The hour of a day at which its events are collected and a training begins: 2:00 of the next day."""

EXPERIMENT = """
name = "explore"

[arms.curious]
share = 1.0

[arms.curious.explore]
slates = 0.1
temperature = 0.3
uncertain = 0.1
fewer_than = 20
"""
"""The example of docs/experiments.md with half of its slates, for all users."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What a deployment learns from. trains: each night. explores: a share of the slates. corrected: the position bias.

    Without trainings the generation of the first log serves on all days; events still change histories.
    """

    name: str
    trains: bool = True
    explores: bool = True
    corrected: bool = True


FIRST_LOG = Condition("first-log", trains=False, explores=False)
LOOP = Condition("loop")
UNEXPLORED = Condition("loop-without-exploration", explores=False)
UNCORRECTED = Condition("loop-without-correction", corrected=False)
CONDITIONS = (FIRST_LOG, LOOP, UNEXPLORED, UNCORRECTED)


@dataclass(slots=True)
class Day:
    """What is measured on a day. clicks: on items of slates. new_clicks: on items that appeared since the first day.
    events: clicks and items found by a search.

    explored, explored_clicks: slates that explored, and clicks on them. training: seconds. forced: checks of the gate
    that the night's generation failed. impressions: the comparison of the rankers with and without slates.
    """

    slates: int = 0
    clicks: int = 0
    new_shown: int = 0
    new_clicks: int = 0
    events: int = 0
    explored: int = 0
    explored_clicks: int = 0
    training: float = 0.0
    forced: list[str] = field(default_factory=list)
    impressions: dict[str, Any] | None = None


def train_first(folder: Path, market: Market, clock: SimulatedClock, worker: FlowWorker) -> None:
    """Make the dataset of a market and a home with the generation of its first log."""
    shutil.rmtree(folder, ignore_errors=True)
    market_files.write_dataset(folder / "data", market)
    clock.set(-1, NIGHT)
    done = worker.run(folder / "home", "run", "--data", str(folder / "data"), "--config", "small", "--force")
    if "error" in done:
        raise FlowFailed(done["error"]["message"])


class SimulatedDays:
    """The days of a deployment in one condition. folder: a copy of what `train_first` made."""

    def __init__(
        self, folder: Path, market: Market, condition: Condition, clock: SimulatedClock, worker: FlowWorker
    ) -> None:
        self._data, self._home = folder / "data", folder / "home"
        self._market, self._condition, self._clock, self._worker = market, condition, clock, worker

    def run(self, days: int) -> list[Day]:
        """Serve simulated users for so many days."""
        self._clock.set(0, 3)
        if self._condition.explores:
            self._start_experiment()
        with Deployment(self._home, self._condition.trains, self._clock.variables) as deployment:
            return [self._day(deployment, day, last=day == days - 1) for day in range(days)]

    def _start_experiment(self) -> None:
        path = self._home / "experiment.toml"
        path.write_text(EXPERIMENT, encoding="utf-8")
        for arguments in (("create", str(path)), ("start", "explore"), ("ramp", "explore", "100")):
            self._flows("experiment", *arguments)

    def _day(self, deployment: Deployment, day: int, last: bool) -> Day:
        found, visits = Day(), self._market.visits[day]
        clicks, unlogged = np.zeros(len(visits.users), np.int64), deployment.unlogged
        self._clock.set(day, 5)
        deployment.put_items(market_files.new_items(self._market, day), market_files.gone_items(self._market, day))
        for part, hour in enumerate(market_files.HOURS):
            self._clock.set(day, hour - 1)
            searched = np.flatnonzero((visits.parts == part) & (visits.finds >= 0))
            deployment.send_events(_events(visits.users[searched], visits.finds[searched]))
            found.events += len(searched)
            self._clock.set(day, hour)
            time.sleep(COUNTS_SECONDS)
            for number in range(int(visits.rounds.max()) + 1):
                rows = np.flatnonzero((visits.parts == part) & (visits.rounds == number))
                if len(rows):
                    clicks[rows] = self._round(deployment, day, rows, visits.users[rows], found)
        if self._condition.trains:
            self._clock.set(day, NIGHT)
            explored = self._collect(visits, found, deployment.unlogged - unlogged)
            found.explored, found.explored_clicks = int(explored.sum()), int(clicks[explored].sum())
            if not last:
                self._train(deployment, day, found)
        return found

    def _round(self, deployment: Deployment, day: int, rows: I64, users: I64, found: Day) -> I64:
        """Show a slate to each user of a round, and send the clicks; the clicks of each slate: [n].

        rows: [n] of the slates among those of the day.
        """
        slates = rows_of(deployment.slates([user_id(user) for user in users.tolist()], PLACES))
        deployment.wait_for_log()  # before the clicks: they change the counts of events, which are features
        clicked, new = self._market.clicks(day, users, slates, rows), self._market.first_day[slates] >= 0
        deployment.send_events(_events(users[np.nonzero(clicked)[0]], slates[clicked]))
        found.slates += len(rows)
        found.clicks += int(clicked.sum())
        found.events += int(clicked.sum())
        found.new_shown += int(new.sum())
        found.new_clicks += int((clicked & new).sum())
        clicks: I64 = clicked.sum(axis=1)
        return clicks

    def _train(self, deployment: Deployment, day: int, found: Day) -> None:
        """Train on the first log and all that was collected, and serve it also where the gate would refuse."""
        market_files.write_items(self._data, self._market, day)
        start = time.monotonic()
        arguments = "run", "--data", str(self._data), "--config", "small", "--force"
        done = self._flows(*arguments, corrected=self._condition.corrected)
        found.training = time.monotonic() - start
        found.forced = done["forced"]
        found.impressions = done["evaluation"]["impressions"]
        deployment.wait_for_generation(done["generation"])

    def _collect(self, visits: Visits, found: Day, unlogged: int) -> Bool:
        """Collect events and slates, and return which slates explored: [n]. FlowFailed if one is missing.

        unlogged: slates that the deployment did not log. It logs all slates of an experiment.
        """
        drained = self._flows("drain", "--wait", "1800")
        collected = drained["impressions"] + unlogged, drained["events"]["events"]
        if collected != (found.slates, found.events):
            raise FlowFailed(f"Of {found.slates} slates and {found.events} events (slates, events) {collected} came.")
        if not self._condition.explores:
            return np.zeros(len(visits.users), bool)
        columns = ["impression", "user_id", "time", "explored"]
        rows = pd.concat([pd.read_parquet(file, columns=columns) for file in drained["files"]])
        slates = rows.drop_duplicates("impression").sort_values(["user_id", "time"])
        ours = pd.DataFrame({"user_id": [user_id(user) for user in visits.users.tolist()], "round": visits.rounds})
        order = ours.sort_values(["user_id", "round"]).index  # the n-th slate of a user is that of the n-th round
        explored = np.zeros(len(ours), bool)
        explored[order] = slates["explored"]
        return explored

    def _flows(self, *arguments: str, corrected: bool = True) -> dict[str, Any]:
        done = self._worker.run(self._home, *arguments, corrected=corrected)
        if "error" in done:
            raise FlowFailed(done["error"]["message"])
        return done


def _events(users: I64, items: I64) -> list[tuple[str, str]]:
    return [(user_id(user), item_id(item)) for user, item in zip(users.tolist(), items.tolist(), strict=True)]
