"""The calls of retrieval and ranking over wire rows, in this process or in others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from service.backends import wire
from service.backends.client import BackendClient
from service.backends.models import RankingModel, RetrievalModel

Call = Callable[[wire.Rows], Awaitable[wire.Rows]]
"""One call for many queries."""

ON_LOOP = 8
"""Rows that are computed on the event loop if the models are in this process: about 12 ms. A thread costs more than
that saves. The best number was not measured."""


@dataclass(frozen=True, slots=True)
class Backends:
    """The calls, by the methods of `models.RetrievalModel` and `models.RankingModel`."""

    retrieve: Call
    complete: Call
    place: Call
    similar: Call
    rank: Call
    explain: Call
    features: Call

    @classmethod
    def remote(cls, retrieval: BackendClient, ranking: BackendClient) -> Backends:
        """Calls of two services in other processes."""
        return cls._of(lambda client, api: partial(client.call, api), retrieval, ranking)

    @classmethod
    def local(cls, retrieval: RetrievalModel, ranking: RankingModel) -> Backends:
        """Calls of models in this process; large batches run on a thread, so that the event loop stays free."""
        return cls._of(lambda model, method: _local(getattr(model, method)), retrieval, ranking)

    @classmethod
    def _of(cls, call: Callable[[Any, str], Call], retrieval: Any, ranking: Any) -> Backends:
        return cls(
            retrieve=call(retrieval, "retrieve"),
            complete=call(retrieval, "complete"),
            place=call(retrieval, "place"),
            similar=call(retrieval, "similar"),
            rank=call(ranking, "rank"),
            explain=call(ranking, "explain"),
            features=call(ranking, "features"),
        )


def _local(compute: Callable[[wire.Rows], wire.Rows]) -> Call:
    async def call(rows: wire.Rows) -> wire.Rows:
        if len(rows) > ON_LOOP:
            return await asyncio.to_thread(compute, rows)
        await asyncio.sleep(0)  # other requests enter the batcher meanwhile; without the store nothing else yields
        return compute(rows)

    return call
