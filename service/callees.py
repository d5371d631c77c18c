"""What retrieval and ranking are asked, as calls over wire rows, here or in another process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from service import wire
from service.models import RankingModel, RetrievalModel

Call = Callable[[wire.Rows], Awaitable[wire.Rows]]
"""One coarse call for many queries."""


@dataclass(frozen=True, slots=True)
class Callees:
    """The calls, by the methods of `models.RetrievalModel` and `models.RankingModel`."""

    retrieve: Call
    complete: Call
    place: Call
    similar: Call
    rank: Call
    explain: Call
    features: Call

    @classmethod
    def remote(cls, retrieval: Any, ranking: Any) -> Callees:
        """Over the proxies of two BentoML services."""
        return cls._of(_remote, retrieval, ranking)

    @classmethod
    def local(cls, retrieval: RetrievalModel, ranking: RankingModel) -> Callees:
        """In this process, on threads."""
        return cls._of(_local, retrieval, ranking)

    @classmethod
    def _of(cls, call: Callable[[Any, str], Call], retrieval: Any, ranking: Any) -> Callees:
        return cls(
            retrieve=call(retrieval, "retrieve"),
            complete=call(retrieval, "complete"),
            place=call(retrieval, "place"),
            similar=call(retrieval, "similar"),
            rank=call(ranking, "rank"),
            explain=call(ranking, "explain"),
            features=call(ranking, "features"),
        )


def _remote(service: Any, api: str) -> Call:
    async def call(rows: np.ndarray) -> np.ndarray:
        answer: np.ndarray = await getattr(service.to_async, api)(rows)
        return answer

    return call


def _local(model: Any, method: str) -> Call:
    async def call(rows: np.ndarray) -> np.ndarray:
        answer: np.ndarray = await asyncio.to_thread(getattr(model, method), rows)
        return answer

    return call
