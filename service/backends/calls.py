"""The gateway's calls of retrieval and ranking, one for each API, to a model in this process or to another process.

Queries and answers are rows of bytes, in the format of `wire`.
"""

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

RETRIEVAL, RANKING = ("retrieve", "complete", "place", "similar"), ("rank", "explain", "features")
"""The APIs of the models. A shard of retrieval has `find` and `find_similar` too, for `ShardedRetrieval`."""

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
    shards_away: Callable[[], list[str]] = list
    """The shards of retrieval that are away, by their names in `degraded`."""

    @classmethod
    def remote(cls, retrieval: Callable[[str], Call], ranking: BackendClient) -> Backends:
        """Calls of two services in other processes. retrieval: returns the call of an API."""
        calls: dict[str, Any] = {api: partial(ranking.call, api) for api in RANKING}
        return cls(**calls | {api: retrieval(api) for api in RETRIEVAL})

    @classmethod
    def local(cls, retrieval: RetrievalModel, ranking: RankingModel) -> Backends:
        """Calls of models in this process; large batches run on a thread, so that the event loop stays free."""
        calls: dict[str, Any] = {api: _local(getattr(ranking, api)) for api in RANKING}
        return cls(**calls | {api: _local(getattr(retrieval, api)) for api in RETRIEVAL})


def _local(compute: Callable[[wire.Rows], wire.Rows]) -> Call:
    async def call(rows: wire.Rows) -> wire.Rows:
        if len(rows) > ON_LOOP:
            return await asyncio.to_thread(compute, rows)
        await asyncio.sleep(0)  # other requests enter the batcher meanwhile; without the store nothing else yields
        return compute(rows)

    return call
