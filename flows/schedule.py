"""Everything on Prefect's clock: training at night, lists for everyone after it, the rest every few minutes.

One run of a flow at a time: one that is due while the last still runs is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect import flow, serve
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.schedules import Cron, Interval

from flows.cli.prefect import keep_traces_off_the_console
from flows.cli.telling import report
from flows.drain import drain
from flows.lists import batch, refresh
from flows.periods import DRAIN_SECONDS, REFRESH_SECONDS, WAIT_SECONDS
from flows.run import run
from recsys.errors import TandemError
from training.mapping import Mapping
from training.options import training_config
from training.watch import Watch, watching

TRAIN_AT, LIST_AT = "0 2 * * *", "0 5 * * *"

SOON = timedelta(seconds=20)
"""From the start to the first runs: the server looks for what is due every five seconds, and plans ahead."""


@contextmanager
def _on_the_clock() -> Iterator[Watch]:
    """A watch for a run in a process of its own: what it fails of is said once, in a sentence, and fails the run."""
    keep_traces_off_the_console()
    try:
        with watching() as watch:
            yield watch
    except TandemError as error:
        report(error, as_json=False)
        raise


@flow(name="train")
def train_nightly(data: str) -> None:
    """Ingest, train, evaluate, pass the gate, publish and promote."""
    with _on_the_clock() as watch:
        run(data, training_config(section=Mapping.read(data).training), False, watch)


@flow(name="list-everyone")
def list_nightly(top: int = 20) -> None:
    """A list for everyone."""
    with _on_the_clock() as watch:
        batch(top, None, watch)


@flow(name="refresh-lists")
def refresh_often() -> None:
    """New lists for those who did something."""
    with _on_the_clock() as watch:
        refresh(watch)


@flow(name="drain-impressions")
def drain_often(wait: float = WAIT_SECONDS) -> None:
    """Impressions as Parquet."""
    with _on_the_clock() as watch:
        drain(wait, watch)


def serve_all(data: str | None, refresh_every: float = REFRESH_SECONDS, drain_every: float = DRAIN_SECONDS) -> None:
    """Run every flow when it is due, until this process is told to end; data: what is trained on, nothing without."""
    one = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    deployments: list[Any] = [  # Prefect's methods give a coroutine where a loop runs, and none does here
        list_nightly.to_deployment("nightly", schedule=Cron(LIST_AT), concurrency_limit=one),
        refresh_often.to_deployment("often", schedule=_every(refresh_every), concurrency_limit=one),
        drain_often.to_deployment("often", schedule=_every(drain_every), concurrency_limit=one),
    ]
    if data:
        nightly = train_nightly.to_deployment(
            "nightly", schedule=Cron(TRAIN_AT), parameters={"data": data}, concurrency_limit=one
        )
        deployments.append(nightly)
    serve(*deployments, pause_on_shutdown=False)


def _every(seconds: float) -> Any:
    """From soon on; Prefect's own beginning would be a whole interval away, and anew with every start."""
    return Interval(timedelta(seconds=seconds), anchor_date=datetime.now(UTC) + SOON)
