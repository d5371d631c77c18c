"""The Prefect flow `ramp`: make the lists of the users who will move into arms of an experiment, then move them.

The flow also waits until the gateways have loaded the arms' generations. So a ramp is no surge of real-time work. A
killed run leaves the experiment as it was, and a second run continues.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

from prefect import flow
from pydantic import Field

from flows.list_parts.list_work import ListWork
from flows.operate.experiments import ramp_or_start
from flows.orchestration import name_run, write_result
from flows.progress import run_progress
from flows.steps.arm_list_making import ArmListMaking, all_users
from flows.steps.gateway_readiness import wait_for_gateways
from flows.steps.list_making import fetch, live_generation, update_trending
from recsys.environment import Environment
from recsys.experiments.arm_lists import lists_of_moved_users
from recsys.experiments.document import DocumentChange, ExperimentsDocument
from recsys.experiments.running_experiments import RunningExperiments
from recsys.rules import RulesFile
from recsys.store.from_environment import OpenStore, open_store
from training.processes.engine import open_engine
from training.progress import RunProgress


@dataclass(frozen=True)
class RampResult:
    """The result of a run. ramp: the part of the arms' shares in force. lists: made for users before they moved."""

    experiment: str
    ramp: float
    lists: int
    seconds: float


@flow(name="ramp", timeout_seconds=2 * 3_600)
def ramp(
    experiment: str,
    percent: Annotated[
        float | None, Field(ge=0, le=100, description="of each arm's share; none: start again after a pause")
    ] = None,
) -> RampResult:
    """Make lists for the users whose arm changes, then change the arms."""
    start, environment = time.monotonic(), Environment.read()
    name_run(f"ramp-{experiment}")
    with open_store(environment) as store, run_progress() as progress:
        after, lists = move_users(ramp_or_start(experiment, percent), store, environment, progress)
    result = RampResult(experiment, after.experiments[experiment].ramp, lists, time.monotonic() - start)
    write_result(result)
    return result


def move_users(
    change: DocumentChange, store: OpenStore, environment: Environment, progress: RunProgress
) -> tuple[ExperimentsDocument, int]:
    """Make lists for the users whom a change moves, then change the document; return it and how many lists."""
    experiments = store.experiments()
    before = experiments.read()
    lists = _prepare(before, change(before), store, environment, progress)
    return experiments.change(change), lists


def _prepare(
    before: ExperimentsDocument,
    after: ExperimentsDocument,
    store: OpenStore,
    environment: Environment,
    progress: RunProgress,
) -> int:
    """Make the lists of the users who move, and wait for the gateways; return how many lists."""
    now, generations, flows, made = time.time(), store.generations(), store.flows(), 0
    live = live_generation(generations)
    folder = fetch(live, environment, generations)
    needed = lists_of_moved_users(before, after, live, all_users(flows, folder.manifest), now)
    for kind in needed:
        fetch(kind.generation, environment, generations)  # a generation that is refused ends the ramp here
    rules = RulesFile(environment.rules, environment.rules_named).current
    trending = update_trending(flows, folder)
    if needed:
        with open_engine(environment) as engine:
            work = ListWork(live, now, rules, tuple(trending.ids))
            made = ArmListMaking(work, folder.manifest, engine).make(needed, progress)
    loading = RunningExperiments(before).generations(now)
    wait_for_gateways(store.registry(), {kind.generation for kind in needed}.intersection(loading))
    return made
