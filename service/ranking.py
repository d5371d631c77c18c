"""The ranking service of BentoML: it scores the candidate items of the gateway's queries with a trained ranker.

Its APIs call `backends.models.RankingModel`.
"""

from __future__ import annotations

import bentoml

from service import wiring, workers
from service.backends import wire
from service.backends.backend_service import BATCHED, BackendService, add_backend_app, rows_api
from service.settings import environment, settings


@bentoml.service(name="Ranking", workers=settings().ranking_workers, **workers.OPTIONS)
class Ranking(BackendService):
    """Orders hundreds of candidates."""

    def __init__(self) -> None:
        workers.become_worker()
        holder = wiring.ranking(environment())
        self._serve(wiring.RANKING, wiring.ranking_model(environment(), holder), holder)

    @rows_api(**BATCHED)
    async def rank(self, rows: wire.Rows) -> wire.Rows:
        """Scores for rows of `wire.RANK`."""
        return self._compute("rank", rows)

    @rows_api()
    async def explain(self, rows: wire.Rows) -> wire.Rows:
        """The contribution of each feature of a candidate to its score."""
        return self._compute("explain", rows)

    @rows_api()
    async def features(self, rows: wire.Rows) -> wire.Rows:
        """The features of candidates that were shown."""
        return self._compute("features", rows)


add_backend_app(Ranking, wiring.RANKING)
