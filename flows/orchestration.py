"""What the flows and their steps have in common for Prefect: retries, restarts, names of runs and results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from uuid import UUID

import httpx
from prefect import Task, get_client, get_run_logger, runtime, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import ObjectNotFound
from prefect.states import Scheduled

from recsys.errors import StoreUnavailable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

P = ParamSpec("P")
R = TypeVar("R")

MOST_STARTS = 3
"""Runs in a row that crash. A crash that repeats, for lack of memory for example, is then left to a person."""

TAG = "tandem"
"""The tag of each run, by which lists follow the trainings of this project alone."""

AFTER_CRASH = "after-crash-"
"""Begins the tag of a run that follows a crashed one."""

PAUSE = timedelta(seconds=5)
"""Between a crash and the next run: until then the deployment's concurrency slot is free."""


def lost_the_store(task: Any, run: Any, state: Any) -> bool:  # noqa: ARG001 Prefect's signature
    """Whether a task failed because the store did not answer; no other failure is retried."""
    return isinstance(state.result(raise_on_failure=False), StoreUnavailable)


def step(work: Callable[P, R]) -> Task[P, R]:
    """Make a step of a flow: a Prefect task without a cache, since its arguments are live objects."""
    return task(cache_policy=NO_CACHE)(work)


def store_step(work: Callable[P, R]) -> Task[P, R]:
    """Make a step that uses the store: a task that is retried while the store does not answer."""
    with_retries = task(
        cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[1, 2, 5], retry_condition_fn=lost_the_store
    )
    return with_retries(work)


def start_again(flow: Any, flow_run: Any, state: Any) -> None:  # noqa: ARG001 Prefect's signature
    """Follow a crashed run of a deployment with a run of the same parameters; the hook `on_crashed` of each flow.

    The crashed run itself is not started again: its worker still reports its end.
    """
    crashes = 1 + sum(tag.startswith(AFTER_CRASH) for tag in flow_run.tags)
    if flow_run.deployment_id is None or crashes == MOST_STARTS:
        return
    with get_client(sync_client=True) as client:
        client.create_flow_run_from_deployment(
            flow_run.deployment_id,
            parameters=flow_run.parameters,
            state=Scheduled(scheduled_time=datetime.now(UTC) + PAUSE),
            tags=[*flow_run.tags, f"{AFTER_CRASH}{crashes}"],
            idempotency_key=f"after {flow_run.id}",  # the engine and the worker may both report the crash
        )


@contextmanager
def best_effort() -> Iterator[None]:
    """Log an error of Prefect's API and go on: a training does not fail because its progress could not be shown."""
    try:
        yield
    except (httpx.HTTPError, ObjectNotFound) as error:
        get_run_logger().warning("Prefect's API did not take an artifact or a name (%s).", error)


def name_run(name: str) -> None:
    """Rename the current run once its generation is known."""
    with best_effort():
        get_client(sync_client=True).update_flow_run(UUID(runtime.flow_run.id), name=name)


def leave_result(result: DataclassInstance) -> None:
    """Leave the result of the current run as a table artifact."""
    rows = [{"result": name, "value": str(value)} for name, value in asdict(result).items()]
    name = runtime.flow_run.flow_name
    with best_effort():
        create_table_artifact(rows, key=f"result-{name}", description=f"Result of {name}")
