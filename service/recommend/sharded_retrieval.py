"""The gateway's calls of a retrieval in shards: one call to each shard, and answers that are merged exactly.

A shard that does not answer in time is left out, and the field `missing` of an answer names the shard.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Any

import numpy as np

from recsys.errors import StageError
from recsys.generation.shard import shard_name
from recsys.retrieval.candidates import best_first, fused
from recsys.retrieval.shard_lists import ShardLists, completed, joined, merged
from recsys.types import PAD
from service.backends import wire
from service.backends.shard_records import FOUND, found_lists, wrong_shard
from service.recommend.circuit_breaker import CircuitBreaker
from service.telemetry import metrics
from service.telemetry.outage import Outage

SHARE = 0.45
"""Of the time left that a shard may take: less than the stage may take, whose answer needs time after the shards'."""

LEAST_TIMEOUT = 0.015
"""Seconds. A shorter timeout is no failure of the shard, as in `guard.LEAST_TIMEOUT`."""


class ShardedRetrieval:
    """The APIs of retrieval over shards, named in the order of their numbers."""

    def __init__(self, calls: Sequence[Callable[[str, wire.Rows], Awaitable[wire.Rows]]]) -> None:
        """calls: of an API by its name, for each shard."""
        self._shards = [_Shard(number, call) for number, call in enumerate(calls, 1)]

    def away(self) -> list[str]:
        """The names of the shards whose circuit breaker is open."""
        return [shard.name for shard in self._shards if not shard.breaker.closed]

    async def retrieve(self, rows: wire.Rows) -> wire.Rows:
        """Records of RETRIEVED for records of RETRIEVE."""
        answers = await self._answers("find", rows, FOUND)
        lists = answers.lists()
        past = wire.as_table(rows, wire.RETRIEVE)["history_items"] if lists[0].layout.spare else None
        found = best_first(joined(*merged(lists), past))
        return answers.noted(wire.stacked(wire.retrieved(found), wire.RETRIEVED), wire.RETRIEVED)

    async def complete(self, rows: wire.Rows) -> wire.Rows:
        """Records of RETRIEVED for records of RANK: each item is scored by the shard that has it."""
        answers = await self._answers("complete", rows, wire.RETRIEVED)
        queries = wire.candidates(wire.as_table(rows, wire.RANK))
        found = completed(queries, [wire.answered_candidates(table) for table in answers.present])
        return answers.noted(wire.stacked(wire.retrieved(found), wire.RETRIEVED), wire.RETRIEVED)

    async def place(self, rows: wire.Rows) -> wire.Rows:
        """Records of PLACED for records of PLACE. The place is PAD without an answer of every shard."""
        answers = await self._answers("place", rows, wire.PLACED)
        found = np.zeros(len(rows), wire.PLACED)
        for table in answers.present:
            found["tower"] = np.where(table["failed"], found["tower"], table["tower"])
            found["place"] += table["place"]
        known = np.all([table["place"] != PAD for table in answers.present], axis=0) & (answers.missing == 0)
        found["place"] = np.where(known, found["place"], PAD)
        return answers.noted(wire.as_bytes(found), wire.PLACED)

    async def similar(self, rows: wire.Rows) -> wire.Rows:
        """Records of SIMILAR_FOUND for records of SIMILAR."""
        answers = await self._answers("find_similar", rows, FOUND)
        lists, tower = merged(answers.lists())
        records = []
        for row, item in enumerate(wire.as_table(rows, wire.SIMILAR)["item"].tolist()):
            own = lists._replace(items=lists.items[row : row + 1], past=lists.past[row : row + 1])
            found = joined(own, tower[row : row + 1], np.array([[item]], np.int32))
            each = [own.items[:, start:end] for start, end in zip(own.starts, own.starts[1:], strict=False)]
            records.append(wire.similar_found(*fused(found, each, item)))
        return answers.noted(wire.stacked(records, wire.SIMILAR_FOUND), wire.SIMILAR_FOUND)

    async def _answers(self, api: str, rows: wire.Rows, dtype: np.dtype) -> _Answers:
        """The answers of all shards to one call; StageError if none answers a query."""
        seconds = SHARE * (max(due for _, due in wire.heads(rows)) - time.time())
        tables = await asyncio.gather(*(shard.call(api, rows, dtype, seconds) for shard in self._shards))
        if dtype is FOUND and (wrong := wrong_shard(tables)):
            raise StageError(wrong)
        answers = _Answers(tables, len(rows))
        if not answers.present:
            raise StageError("no shard of retrieval answered")
        return answers


class _Answers:
    """The tables of the shards for one call of B rows; None for a shard without an answer.

    present: the tables with an answer for a row. missing: [B] uint64, the shards that lack each row, as bits.
    """

    def __init__(self, tables: Sequence[np.ndarray | None], count: int) -> None:
        self.missing = np.zeros(count, np.uint64)
        self._all = (1 << len(tables)) - 1
        for bit, table in enumerate(tables):
            failed = np.ones(count, bool) if table is None else table["failed"] != 0
            self.missing |= failed.astype(np.uint64) << np.uint64(bit)
        self.present = [table for table in tables if table is not None and not table["failed"].all()]

    def lists(self) -> list[ShardLists]:
        """The lists of the shards that answered."""
        return [found_lists(table) for table in self.present]

    def noted(self, rows: wire.Rows, dtype: np.dtype) -> wire.Rows:
        """The rows of an answer with the missing shards, failed where all are missing."""
        table = wire.as_table(rows, dtype)
        table["missing"], table["failed"] = self.missing, self.missing == self._all
        return wire.as_bytes(table)


class _Shard:
    """One shard, with a circuit breaker: a shard that is away delays no request."""

    def __init__(self, number: int, call: Callable[[str, wire.Rows], Awaitable[wire.Rows]]) -> None:
        self.name, self._call, self.breaker = shard_name(number), call, CircuitBreaker()
        self._outage = Outage(self.name, "Answers are made from the items of the other shards.")
        self._probes: set[asyncio.Task[Any]] = set()  # the event loop holds tasks weakly
        metrics.stage_away.labels(self.name).set(0)
        for reason in ("timeout", "error"):
            metrics.stage_failed(self.name, reason)(0)  # so that the first failure is an increase

    async def call(self, api: str, rows: wire.Rows, dtype: np.dtype, seconds: float) -> np.ndarray | None:
        """The records of the shard for rows; None if the shard is away or does not answer in time."""
        if self.breaker.closed:
            return await self._send(api, rows, dtype, seconds)
        for _ in rows:
            self._outage.without()
        if self.breaker.start_probe():
            task = asyncio.create_task(self._send(api, rows[:1], dtype, seconds), context=Context())
            self._probes.add(task)
            task.add_done_callback(self._probes.discard)
        return None

    async def _send(self, api: str, rows: wire.Rows, dtype: np.dtype, seconds: float) -> np.ndarray | None:
        try:
            async with asyncio.timeout(seconds) as timeout:
                found = await self._call(api, rows)
            if found.shape != (len(rows), dtype.itemsize):
                raise StageError(f"{len(found)} answers of {found.shape[-1]} bytes came for {len(rows)} queries")
        except Exception as error:
            metrics.stage_failed(self.name, "timeout" if timeout.expired() else "error")(1)
            if not timeout.expired() or seconds >= LEAST_TIMEOUT:
                late = f"no answer within {1000 * seconds:.0f} ms"
                self._count_failure(late if timeout.expired() else str(error) or type(error).__name__)
            return None
        table = wire.as_table(found, dtype)
        if not table["failed"].all():  # else it may lack the generation, as a shard that starts: no success, no failure
            self._count_success()
        return table

    def _count_success(self) -> None:
        if not self.breaker.closed:
            metrics.stage_away.labels(self.name).set(0)
        self.breaker.succeeded()
        self._outage.worked()

    def _count_failure(self, reason: str) -> None:
        self.breaker.failed()
        if not self.breaker.closed:
            self._outage.failed(reason)
            metrics.stage_away.labels(self.name).set(1)
