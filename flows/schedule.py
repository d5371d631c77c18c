"""Every flow when it is due, in one command: `python -m flows schedule`. `prefect.yaml` has the same for a worker.

One run of a flow at a time: a run of refresh, drain or train that is due while the last one still runs is left out.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from prefect import serve
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.events import DeploymentEventTrigger
from prefect.schedules import Cron, Interval
from prefect.types.entrypoint import EntrypointType

from flows.drain import drain
from flows.lists import batch, refresh
from flows.orchestration import TAG
from flows.train import run

TRAIN_AT, LIST_AT = "0 2 * * *", "0 5 * * *"

SOON = timedelta(seconds=20)
"""From the start to the first runs: the server looks for what is due every five seconds, and plans ahead."""


def serve_all(data: str | None, refresh_every: float, drain_every: float) -> None:
    """Run every flow when it is due, until this process ends; data: the dataset to train on, no training without."""
    skip = _one(ConcurrencyLimitStrategy.CANCEL_NEW)
    deployments: list[Any] = [  # Prefect's methods give a coroutine where a loop runs, and none does here
        refresh.to_deployment("often", schedule=_every(refresh_every), **skip),
        drain.to_deployment("often", schedule=_every(drain_every), **skip),
    ]
    # A batch waits for the one before: that one may have read the alias before the training moved it.
    wait = _one(ConcurrencyLimitStrategy.ENQUEUE)
    if data:
        deployments.append(run.to_deployment("nightly", schedule=Cron(TRAIN_AT), parameters={"data": data}, **skip))
        deployments.append(batch.to_deployment("trained", triggers=[_after_training()], **wait))
    else:
        deployments.append(batch.to_deployment("nightly", schedule=Cron(LIST_AT), **wait))
    serve(*deployments, pause_on_shutdown=False)


def _one(strategy: ConcurrencyLimitStrategy) -> dict[str, Any]:
    limit = ConcurrencyLimitConfig(limit=1, collision_strategy=strategy)
    return {"concurrency_limit": limit, "tags": [TAG], "entrypoint_type": EntrypointType.MODULE_PATH}


def _after_training() -> DeploymentEventTrigger:
    """Fires when a run of `train` has completed, which is when its generation is live."""
    return DeploymentEventTrigger(
        name="lists after a training",
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related=[
            {"prefect.resource.role": "flow", "prefect.resource.name": run.name},
            {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"},
        ],
        expect={"prefect.flow-run.Completed"},
    )


def _every(seconds: float) -> Any:
    """From soon on; Prefect's own beginning would be a whole interval away, and anew with every start."""
    return Interval(timedelta(seconds=seconds), anchor_date=datetime.now(UTC) + SOON)
