"""Server for comparison in the benchmark: a recommender as three BentoML services, written as its documentation shows.

The gateway calls the two others through `depends()`, with pydantic models in and out, one call for each request. All
settings are BentoML's defaults but `runner_connection`, whose default breaks calls in flight (docs/decisions.md).
BentoML logs each call of each service.
"""

from __future__ import annotations

import time

import bentoml
import numpy as np
from pydantic import BaseModel

from loadtests.bench.peers import environment
from loadtests.bench.peers.engine import Slate
from recsys.lists.user_record import UserRecord
from recsys.model.history import stack
from recsys.types import Histories

LASTING = {"max_requests": 10**9, "max_age": 1e9}
SERVICE = {"workers": 1, "runner_connection": LASTING}


class Past(BaseModel):
    """A user's history, oldest first."""

    items: list[int]
    times: list[float]
    types: list[int]
    now: float


class Found(BaseModel):
    """Candidates, best first."""

    items: list[int]
    tower: list[float]
    sources: list[int]


class Scores(BaseModel):
    """The score of each candidate."""

    scores: list[float]


@bentoml.service(name="PeerRetrieval", **SERVICE)
class PeerRetrieval:
    """Service that finds the candidates of a user."""

    def __init__(self) -> None:
        self._engine = environment.engine()

    @bentoml.api
    def retrieve(self, past: Past) -> Found:
        """Candidates of a user."""
        items, tower, sources = self._engine.candidates(_stacked(past))
        return Found(items=items.tolist(), tower=tower.tolist(), sources=sources.tolist())


@bentoml.service(name="PeerRanking", **SERVICE)
class PeerRanking:
    """Service that scores candidates."""

    def __init__(self) -> None:
        self._engine = environment.engine()

    @bentoml.api
    def rank(self, past: Past, found: Found) -> Scores:
        """Scores of candidates."""
        candidates = (
            np.array(found.items, np.int32),
            np.array(found.tower, np.float32),
            np.array(found.sources, np.uint16),
        )
        return Scores(scores=self._engine.scores(_stacked(past), *candidates).tolist())


@bentoml.service(name="PeerGateway", **SERVICE)
class PeerGateway:
    """Service that answers requests: reads the user from the store, calls the two others, and filters."""

    retrieval = bentoml.depends(PeerRetrieval)
    ranking = bentoml.depends(PeerRanking)

    def __init__(self) -> None:
        self._engine, self._users = environment.engine(), environment.users()

    @bentoml.api
    async def recommend(self, user_id: int | str, k: int = 10) -> Slate:
        """A slate for one user."""
        manifest = self._engine.manifest
        [state] = await self._users.read_users(manifest.id, manifest.user_buckets, [user_id])
        record = UserRecord.unpack(state.record)
        history = self._engine.history(record, state)
        items, times, types = (column.tolist() for column in history)
        past = Past(items=items, times=times, types=types, now=time.time())
        found = await self.retrieval.to_async.retrieve(past=past)
        scored = await self.ranking.to_async.rank(past=past, found=found)
        best = self._engine.best(np.array(found.items), np.array(scored.scores), record, history, k)
        return Slate.of(user_id, best, self._engine)


def _stacked(past: Past) -> Histories:
    history = np.array(past.items, np.int32), np.array(past.times), np.array(past.types, np.uint8)
    return stack([history], [past.now])
