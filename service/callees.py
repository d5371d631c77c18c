"""What retrieval and ranking are asked, as calls over wire rows, here or in another process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from _bentoml_impl.client import RemoteProxy  # type: ignore[import-untyped]  # it has no hints

from service import wire
from service.hop import Hop
from service.models import RankingModel, RetrievalModel

Call = Callable[[wire.Rows], Awaitable[wire.Rows]]
"""One coarse call for many queries."""

AT_ONCE = 8
"""Queries that are computed on the loop, where models are in this process: some 12 ms of it. So few are not worth a
thread's way there and back, twice a batch; how many would be was not measured."""


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
    def remote(cls, retrieval: Any, ranking: Any, more: Callable[[], str] | None = None) -> Callees:
        """To two services: BentoML's that this one depends on, or the URLs of others; more: headers of a call."""
        return cls._of(_remote, *(_way(service, more) for service in (retrieval, ranking)))

    @classmethod
    def local(cls, retrieval: RetrievalModel, ranking: RankingModel) -> Callees:
        """In this process; large batches on a thread, so that the doors stay open meanwhile."""
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


def _way(service: Any, more: Callable[[], str] | None) -> Any:
    """What leads to a service: a hop of our own where it has processes of its own, else what BentoML has for it."""
    if isinstance(service, str):
        return Hop(service, more)
    return Hop(service.to_async.url, more) if isinstance(service, RemoteProxy) else service


def _remote(way: Any, api: str) -> Call:
    if isinstance(way, Hop):
        return partial(way.call, api)

    async def call(rows: np.ndarray) -> np.ndarray:
        answer: np.ndarray = await getattr(way.to_async, api)(rows)
        return answer

    return call


def _local(model: Any, method: str) -> Call:
    of: Callable[[wire.Rows], wire.Rows] = getattr(model, method)

    async def call(rows: wire.Rows) -> wire.Rows:
        if len(rows) > AT_ONCE:
            return await asyncio.to_thread(of, rows)
        await asyncio.sleep(0)  # who comes meanwhile gathers; without the store nothing else would let them
        return of(rows)

    return call
