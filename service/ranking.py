"""The ranking service: a thin shell over `models.RankingModel`."""

from __future__ import annotations

import bentoml
import numpy as np

from service import compose, workers
from service.models import RankingModel
from service.settings import environment, settings
from service.shell import DRAIN, NEVER_SHED_MS, NOTHING_AROUND, Shell


@bentoml.service(
    name="Ranking",
    workers=settings().ranking_workers,
    **NOTHING_AROUND,
)
class Ranking(Shell):
    """From hundreds of candidates to their order."""

    def __init__(self) -> None:
        workers.become_one()
        holder = compose.ranking(environment())
        self._model = RankingModel(holder, compose.puts(environment()))
        self._follow(compose.RANKING, holder)

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


Ranking.add_asgi_middleware(compose.lane, role=compose.RANKING, drain=DRAIN)  # type: ignore[attr-defined]  # the decorator makes it a `Service`
