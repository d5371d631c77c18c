"""Turn the gateway's queries into rows of fixed width for calls to the retrieval and ranking services.

An answer has to hold one row of the expected width for each query: a service on another host may have another version.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from recsys.errors import StageError
from recsys.slates.query import Query, Ranked
from service.backends import wire
from service.backends.calls import Call


def history_records(queries: Sequence[Query]) -> list[bytes]:
    """Records of HISTORY, with which the rows of every call begin; each query keeps its record for later stages."""
    offset = time.time() - time.monotonic()
    for query in queries:
        if query.wire_history is None:
            due = query.due + offset
            query.wire_history = wire.history_record(query.generation.id, due, query.history, query.now, query.context)
    return [query.wire_history for query in queries if query.wire_history is not None]


def candidate_records(queries: Sequence[Query], candidates: Sequence[Query | Ranked]) -> list[bytes]:
    """Records of HISTORY, each followed by the candidates of its query."""
    columns = [wire.candidate_record(each.items, each.tower, each.sources) for each in candidates]
    return [history + each for history, each in zip(history_records(queries), columns, strict=True)]


def history_table(dtype: np.dtype, queries: Sequence[Query]) -> np.ndarray:
    """Records of `dtype` with the histories of queries; the caller fills in the other fields."""
    return wire.as_table(wire.query_rows(dtype, history_records(queries)), dtype)


def rank_table(dtype: np.dtype, queries: Sequence[Query], candidates: Sequence[Query | Ranked]) -> np.ndarray:
    """Records of `dtype` with the histories and candidates of queries; the caller fills in the other fields."""
    return wire.as_table(wire.query_rows(dtype, candidate_records(queries, candidates)), dtype)


async def call_records(call: Call, rows: wire.Rows, dtype: np.dtype) -> list[bytearray]:
    """The records of `dtype` that a call returns, each in its own memory; StageError unless there is one a row."""
    found = await _answers(call, rows, dtype)
    return [bytearray(found)] if len(found) == 1 else [bytearray(row) for row in found]


async def answered(call: Call, table: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The table of `dtype` that a call returns for another table; StageError unless there is one record a row."""
    return wire.as_table(await _answers(call, wire.as_bytes(table), dtype), dtype)


async def _answers(call: Call, rows: wire.Rows, dtype: np.dtype) -> wire.Rows:
    found = await call(rows)
    if found.shape != (len(rows), dtype.itemsize):
        raise StageError(f"{len(found)} answers of {found.shape[-1]} bytes came for {len(rows)} queries")
    return found
