"""The ranking service: a thin shell over `models.RankingModel`."""

from __future__ import annotations

import bentoml
import numpy as np

from service import compose, pinned
from service.ahead import Ahead
from service.edge.connection import guard
from service.models import RankingModel
from service.retrieval import NEVER_SHED_MS
from service.settings import environment, settings

guard(settings().max_connections)  # where it is a deployment of its own; the gateway's module does too


@bentoml.service(
    name="Ranking",
    workers=settings().ranking_workers,
    logging={"access": {"enabled": False}},
)
class Ranking:
    """From hundreds of candidates to their order."""

    @bentoml.on_deployment
    @staticmethod
    def prepare_workers() -> None:
        """Once, in the parent of all workers; of the gateway's too, where this host has one."""
        compose.prepare_workers(environment(), settings(), pinned.folder())

    def __init__(self) -> None:
        compose.become_worker()
        holder = compose.ranking(environment())
        self._model = RankingModel(holder, compose.puts(environment()))
        self._adopter = compose.adopter("ranking", environment(), settings(), [holder])
        self._adopter.start()

    @bentoml.on_shutdown
    def stop_following(self) -> None:
        """Let go of the store, and of what is traced."""
        self._adopter.stop()
        compose.close_tracer(compose.RANKING)

    async def __is_ready__(self) -> bool:
        return bool(self._adopter.held)

    @bentoml.api(batchable=True, max_batch_size=settings().max_batch * 4, max_latency_ms=NEVER_SHED_MS)
    def rank(self, rows: np.ndarray) -> np.ndarray:
        """Scores for wire rows, see `service.wire`."""
        return self._model.rank(rows)

    @bentoml.api
    def explain(self, rows: np.ndarray) -> np.ndarray:
        """What the features of a candidate contribute to its score."""
        return self._model.explain(rows)

    @bentoml.api
    def features(self, rows: np.ndarray) -> np.ndarray:
        """The features of candidates that were shown."""
        return self._model.features(rows)


Ranking.add_asgi_middleware(Ahead, make=compose.lane(compose.RANKING))  # type: ignore[attr-defined]  # the decorator makes it a `Service`
