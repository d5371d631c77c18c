"""The Prefect settings of all flows (jobs) and steps: retries, restart after a crash, run names and artifacts."""

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
"""Starts of a run that crashes. A crash that repeats, as for lack of memory, needs a person."""

TAG = "tandem"
"""The tag of each run. The trigger of `batch` matches it, so that other projects' trainings do not start lists."""

AFTER_CRASH = "after-crash-"
"""The prefix of the tag of a run that follows a crashed run."""

PAUSE = timedelta(seconds=5)
"""Between a crash and the next run. By then Prefect has freed the deployment's concurrency slot."""


def store_unavailable(task: Any, run: Any, state: Any) -> bool:  # noqa: ARG001 Prefect's signature
    """Whether a task failed because the store did not answer. Other failures are not retried."""
    return isinstance(state.result(raise_on_failure=False), StoreUnavailable)


def step(work: Callable[P, R]) -> Task[P, R]:
    """Make a function a Prefect task without a cache, because its arguments are live objects."""
    return task(cache_policy=NO_CACHE)(work)


def store_step(work: Callable[P, R]) -> Task[P, R]:
    """Make a function a Prefect task that is retried while the store does not answer."""
    with_retries = task(
        cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[1, 2, 5], retry_condition_fn=store_unavailable
    )
    return with_retries(work)


def restart_after_crash(flow: Any, flow_run: Any, state: Any) -> None:  # noqa: ARG001 Prefect's signature
    """Start a run with the same parameters after a crashed run of a deployment; the hook `on_crashed` of each flow.

    The crashed run itself can't start again: its worker still reports its end.
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
            idempotency_key=f"after {flow_run.id}",  # engine and worker may both report the crash
        )


@contextmanager
def best_effort() -> Iterator[None]:
    """Log an error of Prefect's API and continue: a training must not fail because an artifact can't be written."""
    try:
        yield
    except (httpx.HTTPError, ObjectNotFound) as error:
        get_run_logger().warning("Prefect's API did not take an artifact or a name (%s).", error)


def name_run(name: str) -> None:
    """Rename the current run."""
    with best_effort():
        get_client(sync_client=True).update_flow_run(UUID(runtime.flow_run.id), name=name)


def write_result(result: DataclassInstance) -> None:
    """Write the result of the current run as a table artifact."""
    rows = [{"result": name, "value": str(value)} for name, value in asdict(result).items()]
    name = runtime.flow_run.flow_name
    with best_effort():
        create_table_artifact(rows, key=f"result-{name}", description=f"Result of {name}")
