"""The CPU of a request's kernels alone: candidates and scores of real users, in batches of one size."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import TypeVar

import numpy as np
import torch

from loadtests.bench.kernels.extras import extra
from loadtests.bench.world import World
from recsys.lists.user_record import UserRecord
from recsys.model.history import History, assemble, stack
from recsys.model.ranker import Ranker
from recsys.retrieval.retriever import Retriever
from recsys.store.redis.user_store import RedisUserStore

threadpool_limits = extra("threadpoolctl").threadpool_limits

T = TypeVar("T")

USERS = 512
TIMES = 30
"""Batches that are timed, each with other users; the median counts."""


@dataclass(frozen=True)
class Floor:
    """CPU ms a query, on one thread."""

    retrieval: float
    ranking: float


class Kernels:
    """Retrieval and ranking of a world's generation in this process, without services."""

    def __init__(self, place: World) -> None:
        torch.set_num_threads(1)
        threadpool_limits(1)  # numpy's own
        self._retriever, self._ranker = Retriever.load(place.generation), Ranker.load(place.generation)
        self._histories = _histories(place)

    def floor(self, batch: int) -> Floor:
        """The CPU of batches of so many users."""
        now = time.time()
        starts = range(0, len(self._histories) - batch + 1, batch)
        users = cycle([stack(self._histories[start : start + batch], [now] * batch) for start in starts])

        retrieval, ranking = [], []
        for past in islice(users, TIMES + 1):
            found, seconds = _timed(partial(self._retriever.retrieve, past))
            retrieval.append(seconds)
            scored = partial(self._ranker.score, past, found)
            ranking.append(_timed(scored)[1])
        # The first of each loads what is compiled.
        return Floor(*(1e3 * statistics.median(took[1:]) / batch for took in (retrieval, ranking)))


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    """The result, and the CPU seconds of this thread."""
    start = time.thread_time()
    found = work()
    return found, time.thread_time() - start


def _histories(place: World) -> list[History]:
    """Histories of random users of the store."""
    manifest, tables = place.generation.manifest, place.generation.tables()
    users = np.random.default_rng(0).choice(place.users, USERS, replace=False).tolist()

    async def read() -> list[History]:
        store = RedisUserStore(place.url)
        try:
            states = await store.read_users(manifest.id, manifest.user_buckets, users)
        finally:
            await store.close()
        type_row = place.generation.spec().type_row
        return [assemble(UserRecord.unpack(of.record), of.events, tables.ids.rows_of, type_row) for of in states]

    return asyncio.run(read())
