"""The Prefect flows that precompute lists: `batch` for all users, `refresh` for users with new events, and `item-lists`
for all items: the items that are similar to each.

The first two update the trending items, and make more lists for users in arms of experiments that change the lists.
Each list is stored by itself, so a killed run leaves complete lists, and the next run makes the missing ones. If newly
trained models go live during a run, the run makes its lists again with these. Where TANDEM_DASK is set, the workers of
a Dask cluster make the lists of `batch` and `item-lists`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from prefect import get_run_logger
from pydantic import Field

from flows.list_parts.list_work import ListWork
from flows.orchestration import name_run, write_result
from flows.progress import run_progress
from flows.run_records import recorded_flow
from flows.steps.arm_list_making import ArmListMaking, all_users
from flows.steps.list_making import (
    fetch,
    live_generation,
    make_all_lists,
    make_item_lists,
    make_lists,
    read_active,
    update_trending,
)
from flows.steps.parquet_export import LISTS, SIMILAR, export_file
from recsys.environment import Environment
from recsys.experiments.arm_lists import lists_of_users, with_lists
from recsys.rules import Rules, RulesFile
from recsys.store.from_environment import OpenStore, open_store
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.run_record import RunFigures
from recsys.store.stored_types import LIVE
from training.processes.engine import LOCAL, Engine, open_engine
from training.progress import RunProgress


@dataclass(frozen=True)
class ListResult:
    """The result of a run. lists: users, or items, with a new list. arm_lists: of arms of experiments, beside these.

    parquet: the file that the run wrote. superseded: generations that stopped being live while their lists were made.
    lost: events that left the log before `refresh` read them.
    """

    generation: str
    lists: int
    arm_lists: int = 0
    trending: int = 0
    seconds: float = 0.0
    parquet: str | None = None
    superseded: tuple[str, ...] = ()
    lost: int = 0

    def figures(self) -> RunFigures:
        """The figures for the record of the run. Lists of arms are left out: they end with their experiment."""
        return RunFigures(rows_out=self.lists, generation=self.generation)


@dataclass(frozen=True, slots=True)
class ListRun:
    """What the steps of a run share. engine: which processes make the lists."""

    environment: Environment
    progress: RunProgress
    engine: Engine = LOCAL


@recorded_flow("batch", timeout_seconds=2 * 3_600)
def batch(
    top: Annotated[int, Field(ge=1, le=100, description="items of a user in the Parquet file")] = 20,
    rules: Annotated[str | None, Field(description="the file of rules; default: TANDEM_RULES, or rules.toml")] = None,
) -> ListResult:
    """Make a list for every user of the live generation or the store, and a Parquet file with their best items."""
    environment = Environment.read()
    in_force = RulesFile(Path(rules) if rules else environment.rules, bool(rules) or environment.rules_named).current
    with open_store(environment) as store, open_engine(environment) as engine, run_progress() as progress:
        run = ListRun(environment, progress, engine)
        return for_live_generation("batch", store.generations(), lambda live: list_all(live, store, run, in_force, top))


@recorded_flow("refresh", timeout_seconds=2 * 3_600)
def refresh() -> ListResult:
    """Make lists for the users with events since the last run, and update the trending items."""
    environment = Environment.read()
    in_force = RulesFile(environment.rules, environment.rules_named).current
    with open_store(environment) as store, run_progress() as progress:
        run = ListRun(environment, progress)
        return for_live_generation("refresh", store.generations(), lambda live: list_active(live, store, run, in_force))


@recorded_flow("item-lists", timeout_seconds=2 * 3_600)
def item_lists() -> ListResult:
    """Make a list of similar items for every available item of the live generation, in the store and as Parquet."""
    environment = Environment.read()
    with open_store(environment) as store, open_engine(environment) as engine, run_progress() as progress:
        run = ListRun(environment, progress, engine)
        return for_live_generation("item-lists", store.generations(), lambda live: list_items(live, store, run))


def for_live_generation(name: str, generations: RedisGenerationStore, make: Callable[[str], ListResult]) -> ListResult:
    """Make lists for the live generation, and make them again if another generation is live afterwards."""
    start = time.monotonic()
    superseded: list[str] = []
    while True:
        generation = live_generation(generations)
        name_run(f"{name}-{generation}")
        made = make(generation)
        live = generations.alias(LIVE)
        if live == generation:
            made = replace(made, seconds=time.monotonic() - start, superseded=tuple(superseded))
            write_result(made)
            return made
        superseded.append(generation)
        get_run_logger().warning("%s superseded %s: the lists are made again.", live, generation)


def list_all(generation: str, store: OpenStore, run: ListRun, rules: Rules, top: int) -> ListResult:
    """Make the lists of all users in a generation, and the Parquet file."""
    now, flows = time.time(), store.flows()
    folder = fetch(generation, run.environment, store.generations())
    trending = update_trending(flows, folder)
    work = ListWork(generation, now, rules, tuple(trending.ids))
    with export_file(run.environment, LISTS, generation, now) as (path, file), run.progress.step("lists") as step:
        made = make_all_lists(work, top, folder.manifest.user_buckets, run.engine, flows, file, step)
    experiments = with_lists(store.experiments().read(), now)
    needed = lists_of_users(experiments, generation, all_users(flows, folder.manifest)) if experiments else {}
    arms = ArmListMaking(work, folder.manifest, run.engine).make(needed, run.progress)
    return ListResult(generation, made, arms, len(trending.items), parquet=str(path))


def list_active(generation: str, store: OpenStore, run: ListRun, rules: Rules) -> ListResult:
    """Make the lists of the users with events that no earlier run has read in this generation."""
    now, flows, made, arms = time.time(), store.flows(), 0, 0
    folder = fetch(generation, run.environment, store.generations())
    active = read_active(flows, folder)
    trending = update_trending(flows, folder)
    if active.users:
        work = ListWork(generation, now, rules, tuple(trending.ids))
        with run.progress.step("lists") as step:
            made = make_lists(work, active.users, step)
        needed = lists_of_users(with_lists(store.experiments().read(), now), generation, active.users)
        arms = ArmListMaking(work, folder.manifest).make(needed, run.progress)
    if active.cursor:
        flows.write_cursor(generation, active.cursor)  # last: a killed run is repeated with the same users
    return ListResult(generation, made, arms, len(trending.items), lost=active.lost)


def list_items(generation: str, store: OpenStore, run: ListRun) -> ListResult:
    """Make the lists of similar items in a generation, and the Parquet file."""
    now = time.time()
    items = fetch(generation, run.environment, store.generations()).manifest.dims["items"]
    with (
        export_file(run.environment, SIMILAR, generation, now) as (path, file),
        run.progress.step("similar items") as step,
    ):
        made = make_item_lists(ListWork(generation, now), items, run.engine, file, step)
    return ListResult(generation, made, parquet=str(path))
