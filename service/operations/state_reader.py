"""Reads what the page /operations shows of the store: the newest generations, runs, experiments and drift."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import replace

from recsys.experiments.document import Experiment
from recsys.generation.stored_generations import list_generations
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.redis.redis_experiments import RedisExperimentStore
from recsys.store.redis.run_store import RedisRunStore
from service.operations.promises import Promises
from service.operations.stored_state import StoredState, drift_of, experiment_state, flow_state

METRICS = ("recall@10", "ndcg@10")
"""The metrics of a generation that the page shows."""

MOST_GENERATIONS, MOST_EXPERIMENTS = 20, 20
"""Newest generations and experiments that the page lists."""


class StateReader:
    """Reads the state, in some thread. Every call raises StoreError without a store."""

    def __init__(self, url: str, promises: Promises) -> None:
        self._promises = promises
        self._opened = ExitStack()
        self._generations = self._opened.enter_context(closing(RedisGenerationStore(url)))
        self._runs = self._opened.enter_context(closing(RedisRunStore(url)))
        self._experiments = self._opened.enter_context(closing(RedisExperimentStore(url)))

    def read(self, now: float) -> StoredState:
        """Read everything. now: unix seconds."""
        records, document = self._runs.read(), self._experiments.read()
        halts = self._experiments.halts(document)
        experiments = [
            experiment_state(each, {arm: why for (name, arm), why in halts.items() if name == each.name})
            for each in _most_relevant([*document.experiments.values()])
        ]
        flows = [flow_state(runs, self._promises.flows.get(flow), now) for flow, runs in records.items() if runs]
        found = list_generations(self._generations, MOST_GENERATIONS)
        generations = [replace(each, metrics=_shown(each.metrics)) for each in reversed(found)]
        return StoredState(generations, flows, experiments, drift_of(records["drift"]))

    def close(self) -> None:
        """Close all connections."""
        self._opened.close()


def _shown(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: metrics[name] for name in METRICS if name in metrics}


def _most_relevant(experiments: list[Experiment]) -> list[Experiment]:
    """Those that run first, stopped ones last, and of these the newest change first."""

    def order(each: Experiment) -> tuple[int, float]:
        return ("running", "paused", "draft", "stopped").index(each.status), -each.changes[-1].at if each.changes else 0

    return sorted(experiments, key=order)[:MOST_EXPERIMENTS]
