"""The gateway's calls of retrieval and ranking, one for each API, to a model in this process or to another process.

Queries and answers are rows of bytes, in the format of `wire`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from service.backends import wire
from service.backends.client import BackendClient
from service.backends.models import RankingModel, RetrievalModel

Call = Callable[[wire.Rows], Awaitable[wire.Rows]]
"""One call for many queries."""

RETRIEVAL = "retrieve", "complete", "place", "similar"
"""The APIs of retrieval. The others of `wire.WIDTHS` are those of ranking."""

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
        return cls(**{api: partial((retrieval if api in RETRIEVAL else ranking).call, api) for api in wire.WIDTHS})

    @classmethod
    def local(cls, retrieval: RetrievalModel, ranking: RankingModel) -> Backends:
        """Calls of models in this process; large batches run on a thread, so that the event loop stays free."""
        return cls(**{api: _local(getattr(retrieval if api in RETRIEVAL else ranking, api)) for api in wire.WIDTHS})


def _local(compute: Callable[[wire.Rows], wire.Rows]) -> Call:
    async def call(rows: wire.Rows) -> wire.Rows:
        if len(rows) > ON_LOOP:
            return await asyncio.to_thread(compute, rows)
        await asyncio.sleep(0)  # other requests enter the batcher meanwhile; without the store nothing else yields
        return compute(rows)

    return call
