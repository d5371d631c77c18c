"""Flows that precompute lists: `batch` for every user, `refresh` for users with new events.

Both update what is trending.

A list is one field of the store, so a killed run leaves complete lists. The next run makes the missing ones.
A run whose generation was superseded meanwhile makes its lists again for the generation that is live.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from prefect import flow, get_run_logger
from pydantic import Field

from flows.orchestration import leave_result, name_run, start_again
from flows.progress import run_progress
from flows.steps.list_export import exporting
from flows.steps.list_making import fetch, follow_trend, list_everybody, list_some, live_of, load, read_active
from recsys.environment import Environment
from recsys.rules import Rules, RulesFile
from recsys.store.from_environment import OpenStore, open_store
from recsys.store.ports import LIVE, GenerationStore
from training.progress import RunProgress


@dataclass(frozen=True)
class Listed:
    """The result of a run. lists: users with a new list. parquet: the file that `batch` wrote.

    superseded: generations that stopped being live while their lists were made. lost: events that left the log before
    `refresh` read them.
    """

    generation: str
    lists: int
    trending: int
    seconds: float = 0.0
    parquet: str | None = None
    superseded: tuple[str, ...] = ()
    lost: int = 0


@flow(name="batch", timeout_seconds=2 * 3_600, on_crashed=[start_again])
def batch(
    top: Annotated[int, Field(ge=1, le=100, description="items of a user in the Parquet file")] = 20,
    rules: Annotated[str | None, Field(description="the file of rules; default: TANDEM_RULES, or rules.toml")] = None,
) -> Listed:
    """A list for every user that the live generation or the store knows, and everyone's best as Parquet."""
    environment = Environment.read()
    in_force = RulesFile(Path(rules) if rules else environment.rules, bool(rules) or environment.rules_named).current
    with open_store(environment) as opened, run_progress() as progress:
        return for_live(
            "batch", opened.generations(), lambda live: list_all(live, opened, environment, in_force, top, progress)
        )


@flow(name="refresh", timeout_seconds=2 * 3_600, on_crashed=[start_again])
def refresh() -> Listed:
    """New lists for the users with events since the last run, and what is trending."""
    environment = Environment.read()
    in_force = RulesFile(environment.rules, environment.rules_named).current
    with open_store(environment) as opened, run_progress() as progress:
        return for_live(
            "refresh", opened.generations(), lambda live: list_active(live, opened, environment, in_force, progress)
        )


def for_live(name: str, generations: GenerationStore, make: Callable[[str], Listed]) -> Listed:
    """Make lists for the live generation, and make them again if another generation is live afterwards."""
    start = time.monotonic()
    superseded: list[str] = []
    while True:
        generation = live_of(generations)
        name_run(f"{name}-{generation}")
        made = make(generation)
        live = generations.alias(LIVE)
        if live == generation:
            made = replace(made, seconds=time.monotonic() - start, superseded=tuple(superseded))
            leave_result(made)
            return made
        superseded.append(generation)
        get_run_logger().warning("%s superseded %s: the lists are made again.", live, generation)


def list_all(
    generation: str, opened: OpenStore, environment: Environment, rules: Rules, top: int, progress: RunProgress
) -> Listed:
    """Make the lists of all users in a generation, and the Parquet file."""
    now, generations, store = time.time(), opened.generations(), opened.flows()
    folder = fetch(generation, environment, generations)
    hot = follow_trend(store, folder)
    maker = load(folder, opened.items(), rules).with_trending(hot.ids)
    with exporting(environment, maker, top, now) as export, progress.step("lists") as step:
        made = list_everybody(maker, generations, store, export, now, step)
    return Listed(generation, made, len(hot.items), parquet=str(export.path))


def list_active(
    generation: str, opened: OpenStore, environment: Environment, rules: Rules, progress: RunProgress
) -> Listed:
    """Make the lists of the users with events that no earlier run has read in this generation."""
    now, generations, store, made = time.time(), opened.generations(), opened.flows(), 0
    folder = fetch(generation, environment, generations)
    found = read_active(store, folder)
    hot = follow_trend(store, folder)
    if found.users:
        maker = load(folder, opened.items(), rules).with_trending(hot.ids)
        with progress.step("lists") as step:
            made = list_some(maker, generations, store, found.users, now, step)
    if found.cursor:
        store.write_cursor(generation, found.cursor)  # last: a run that is killed makes the same lists again
    return Listed(generation, made, len(hot.items), lost=found.lost)
