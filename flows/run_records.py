"""Prefect flows (jobs such as `train`) that leave a record of each run in the store, for metrics, alerts and people.

`recorded_flow` is Prefect's decorator `flow` with hooks that write the record: one when a run begins, one at its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ParamSpec, Protocol, TypeVar, runtime_checkable

import httpx
from prefect import Flow, flow, get_client
from prefect.exceptions import ObjectNotFound
from prefect.logging.loggers import flow_run_logger

from flows.orchestration import restart_after_crash
from recsys.environment import Environment
from recsys.errors import TandemError
from recsys.store.from_environment import open_store
from recsys.store.run_record import CANCELLED, COMPLETED, CRASHED, FAILED, RunFigures, RunRecord

P = ParamSpec("P")
R = TypeVar("R")

COMMAND = "command"
"""The deployment of a run without one, as of `python -m flows batch`."""


@runtime_checkable
class HasFigures(Protocol):
    """A result of a flow whose figures go into the record of the run."""

    def figures(self) -> RunFigures:
        """What the run read and made."""


def recorded_flow(name: str, timeout_seconds: float) -> Callable[[Callable[P, R]], Flow[P, R]]:
    """Make a function a Prefect flow whose runs leave records, and start again after a crash of a deployment's run."""
    return flow(
        name=name,
        timeout_seconds=timeout_seconds,
        on_running=[record_start],
        on_completion=[record_end],
        on_failure=[record_end],
        on_cancellation=[record_end],
        on_crashed=[record_end, restart_after_crash],
    )


def record_start(flow: Any, flow_run: Any, state: Any) -> None:  # noqa: ARG001 Prefect's signature
    """Write the record of a run that begins."""
    deployment = _deployment(flow_run)
    _update(flow, flow_run, lambda record: replace(record, deployment=deployment))


def record_end(flow: Any, flow_run: Any, state: Any) -> None:
    """Write how a run ended. After a crash a worker calls this, in its own process and without a result."""
    result = state.result(raise_on_failure=False) if state.is_completed() else None
    figures = result.figures() if isinstance(result, HasFigures) else RunFigures()
    ended = {"completed": COMPLETED, "failed": FAILED, "crashed": CRASHED}.get(state.type.value.lower(), CANCELLED)
    _update(flow, flow_run, lambda record: replace(record, state=ended, end=time.time(), figures=figures))


def _update(flow: Any, flow_run: Any, change: Callable[[RunRecord], RunRecord]) -> None:
    """Change the record of a run. A store that does not answer costs the record, not the run."""
    run, start = str(flow_run.id), flow_run.start_time
    begun = start.timestamp() if start else time.time()
    new = RunRecord(flow.name, run, COMMAND, begun, float(flow.timeout_seconds))
    try:
        with open_store(Environment.read()) as store:
            runs = store.runs()
            runs.write(change(runs.find(flow.name, run) or new))
    except TandemError as error:
        flow_run_logger(flow_run, flow).warning("The run leaves no record for metrics and alerts: %s", error)


def _deployment(flow_run: Any) -> str:
    """The name of a run's deployment; its id if Prefect's API does not answer."""
    if flow_run.deployment_id is None:
        return COMMAND
    try:
        with get_client(sync_client=True) as client:
            return client.read_deployment(flow_run.deployment_id).name
    except (httpx.HTTPError, ObjectNotFound):
        return str(flow_run.deployment_id)
