"""Everything on Prefect's clock: training at night, lists for everyone after it, the rest every few minutes.

One run of a flow at a time: one that is due while the last still runs is left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, serve
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy

from flows.drain import WAIT_SECONDS, drain
from flows.follow import RULES
from flows.lists import batch, refresh
from flows.run import run
from training.config import CONFIGS
from training.watch import watching

TRAIN_AT, LIST_AT = "0 2 * * *", "0 5 * * *"
REFRESH_SECONDS, DRAIN_SECONDS = 120, 600


@flow(name="train")
def train_nightly(data: str) -> None:
    """Ingest, train, evaluate, pass the gate, publish and promote."""
    with watching() as watch:
        run(data, CONFIGS["full"](), False, watch)


@flow(name="list-everyone")
def list_nightly(top: int = 20, rules: Path = RULES) -> None:
    """A list for everyone."""
    with watching() as watch:
        batch(top, rules, watch)


@flow(name="refresh-lists")
def refresh_often() -> None:
    """New lists for those who did something."""
    with watching() as watch:
        refresh(watch)


@flow(name="drain-impressions")
def drain_often(wait: float = WAIT_SECONDS) -> None:
    """Impressions as Parquet."""
    with watching() as watch:
        drain(wait, watch)


def serve_all(data: str | None) -> None:
    """Run every flow when it is due, until this process is told to end; data: what is trained on, nothing without."""
    one = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    deployments: list[Any] = [  # Prefect's methods give a coroutine where a loop runs, and none does here
        list_nightly.to_deployment("nightly", cron=LIST_AT, concurrency_limit=one),
        refresh_often.to_deployment("every-two-minutes", interval=REFRESH_SECONDS, concurrency_limit=one),
        drain_often.to_deployment("every-ten-minutes", interval=DRAIN_SECONDS, concurrency_limit=one),
    ]
    if data:
        deployments.append(
            train_nightly.to_deployment("nightly", cron=TRAIN_AT, parameters={"data": data}, concurrency_limit=one)
        )
    serve(*deployments, pause_on_shutdown=False)
