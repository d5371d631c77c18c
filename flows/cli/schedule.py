"""Run all flows (jobs) on a schedule in one process, for `python -m flows schedule`.

Training runs every night, `batch` and `item-lists` after each training, the others at intervals. A run that is due
while the last one of this flow still runs is skipped, but lists wait. `prefect.yaml` has the same schedule for Prefect
workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect import serve
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.events import DeploymentEventTrigger
from prefect.schedules import Cron, Interval
from prefect.types.entrypoint import EntrypointType

from flows import CANARY_SECONDS, DRIFT_SECONDS, MONITOR_SECONDS
from flows.canary import canary
from flows.drain import drain
from flows.drift import drift
from flows.experiment_report import experiment_reports
from flows.lists import batch, item_lists, refresh
from flows.monitor import monitor
from flows.orchestration import TAG
from flows.promotion import promote, rollback
from flows.train import run

NIGHTLY_TRAINING, NIGHTLY_LISTS = "0 2 * * *", "0 5 * * *"

FIRST_RUN = timedelta(seconds=20)
"""From the start to the first run of an interval. Prefect plans runs ahead, every five seconds."""


def serve_all(
    data: str | None, refresh_every: float, drain_every: float, gateways: Sequence[str], key_file: str | None
) -> None:
    """Run the flows on their schedules until this process ends.

    data: the dataset to train on, if any. gateways: those that `monitor` reads, with the key of a file.
    """
    skip = _one_run(ConcurrencyLimitStrategy.CANCEL_NEW)
    watched = {"gateways": list(gateways), "key_file": key_file}
    deployments: list[Any] = [  # Prefect's methods return a coroutine if an event loop runs; none runs here
        refresh.to_deployment("often", schedule=_interval(refresh_every), **skip),
        drain.to_deployment("often", schedule=_interval(drain_every), **skip),
        experiment_reports.to_deployment("often", schedule=_interval(drain_every), **skip),
        monitor.to_deployment("often", schedule=_interval(MONITOR_SECONDS), parameters=watched, **skip),
        canary.to_deployment("often", schedule=_interval(CANARY_SECONDS), **skip),
        promote.to_deployment("by-hand", **skip),
        rollback.to_deployment("by-hand", **skip),
        drift.to_deployment("hourly", schedule=_interval(DRIFT_SECONDS), **skip),
    ]
    # A batch waits for the one before, which may have read the alias before the training moved it.
    wait = _one_run(ConcurrencyLimitStrategy.ENQUEUE)
    if data:
        deployments.append(
            run.to_deployment("nightly", schedule=Cron(NIGHTLY_TRAINING), parameters={"data": data}, **skip)
        )
    for lists in (batch, item_lists):
        if data:
            deployments.append(lists.to_deployment("trained", triggers=[_after_training(lists.name)], **wait))
        else:
            deployments.append(lists.to_deployment("nightly", schedule=Cron(NIGHTLY_LISTS), **wait))
    serve(*deployments, pause_on_shutdown=False)


def _one_run(strategy: ConcurrencyLimitStrategy) -> dict[str, Any]:
    limit = ConcurrencyLimitConfig(limit=1, collision_strategy=strategy)
    return {"concurrency_limit": limit, "tags": [TAG], "entrypoint_type": EntrypointType.MODULE_PATH}


def _after_training(lists: str) -> DeploymentEventTrigger:
    """Fires when a run of `train` has completed: its generation is live. lists: the flow to start."""
    return DeploymentEventTrigger(
        name=f"{lists} after a training",
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related=[
            {"prefect.resource.role": "flow", "prefect.resource.name": run.name},
            {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"},
        ],
        expect={"prefect.flow-run.Completed"},
    )


def _interval(seconds: float) -> Any:
    """An interval that begins soon. Prefect's default begins a whole interval after each start."""
    return Interval(timedelta(seconds=seconds), anchor_date=datetime.now(UTC) + FIRST_RUN)
