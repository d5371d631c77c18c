"""The retrieval and ranking models as plain classes: each answers a batch of queries that come as rows of bytes.

The BentoML services are thin wrappers of these classes. A batch may hold queries of several generations (trained sets
of models and tables), and each row can fail alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

import numpy as np

from recsys.errors import TandemError
from recsys.fresh_items.put_items import NOTHING_PUT, PutItems
from recsys.generation.manifest import NAME
from recsys.model.event_counts import NO_COUNTS, EventCounts
from recsys.types import PAD
from service.backends import wire
from service.generations.holder import GenerationHolder

if TYPE_CHECKING:  # they import torch, which a gateway with backends in other processes does not need
    from recsys.model.ranker import Ranker
    from recsys.retrieval.retriever import Retriever

logger = logging.getLogger("tandem")

LEAST_SECONDS = 0.001
"""A row with less time left is not computed: its answer would be late."""


class Grows(Protocol):
    """A part of a generation that accepts the items added or changed since through PUT /items."""

    def with_items(self, puts: PutItems) -> Self:
        """The same part, with the items put (added or changed through PUT /items)."""


T = TypeVar("T", bound=Grows)
_OfRecords = Callable[[Any, np.ndarray, Any], Sequence[bytes]]
_OfRows = Callable[[Any, wire.Rows], wire.Rows]


def over_rows(takes: np.dtype, gives: np.dtype) -> Callable[[_OfRecords], _OfRows]:
    """The decorator of a method over records of one generation. It makes a method over rows of several generations.

    takes, gives: the records in the rows of a call and of its answer. A row that can't be answered is marked failed.
    """

    def decorate(answer: _OfRecords) -> _OfRows:
        @wraps(answer)
        def method(model: _Model[Any], rows: wire.Rows) -> wire.Rows:
            def of_generation(generation: str, records: np.ndarray) -> Sequence[bytes]:
                return model.answered(generation, records, answer)

            answered = answer_each(wire.heads(rows), wire.as_table(rows, takes), wire.failure(gives), of_generation)
            return wire.stacked(answered, gives)

        return method

    return decorate


class _Model(Generic[T]):
    """Answers a batch of rows of several generations."""

    def __init__(self, holder: GenerationHolder[T], puts: Callable[[], PutItems] = lambda: NOTHING_PUT) -> None:
        """puts: returns the items put, as this process last read them."""
        self._holder = holder
        self._puts = puts

    def part(self, generation: str) -> T:
        """The part of a generation that computes answers, with the items put since; GenerationError without one."""
        return self._holder.get(generation).with_items(self._puts())

    def answered(self, generation: str, records: np.ndarray, answer: _OfRecords) -> Sequence[bytes]:
        """The answers to records of one generation."""
        return answer(self, records, self.part(generation))


class RetrievalModel(_Model["Retriever"]):
    """Finds the candidate items of queries, and items similar to an item."""

    @over_rows(wire.RETRIEVE, wire.RETRIEVED)
    def retrieve(self, queries: np.ndarray, retriever: Retriever) -> list[bytes]:
        """The candidates of each query."""
        return wire.retrieved(retriever.retrieve(wire.histories(queries), wire.extra(queries), wire.filters(queries)))

    @over_rows(wire.RANK, wire.RETRIEVED)
    def complete(self, queries: np.ndarray, retriever: Retriever) -> list[bytes]:
        """The candidates of each query with the tower scores that they lack."""
        return wire.retrieved(retriever.complete(wire.histories(queries), queries["items"], queries["sources"]))

    @over_rows(wire.PLACE, wire.PLACED)
    def place(self, queries: np.ndarray, retriever: Retriever) -> list[bytes]:
        """The place of an item in the order of the towers."""
        found = np.zeros(len(queries), wire.PLACED)
        found["tower"], found["place"] = retriever.place(wire.histories(queries), queries["item"])
        return wire.each(found)

    @over_rows(wire.SIMILAR, wire.SIMILAR_FOUND)
    def similar(self, queries: np.ndarray, retriever: Retriever) -> list[bytes]:
        """The items most similar to an item. A row fails if the item was put and this process does not know it yet."""
        found = [wire.failure(wire.SIMILAR_FOUND)] * len(queries)
        for row in np.flatnonzero(retriever.holds(queries["item"])):
            of = queries[row : row + 1]
            found[row] = wire.similar_found(*retriever.similar(int(of["item"][0]), wire.filters(of)))
        return found


class RankingModel(_Model["Ranker"]):
    """Scores the candidate items of queries, and explains a score by its features."""

    def __init__(
        self,
        holder: GenerationHolder[Ranker],
        puts: Callable[[], PutItems] = lambda: NOTHING_PUT,
        counts: Callable[[float], EventCounts] = lambda _: NO_COUNTS,
    ) -> None:
        """counts: returns the counts of events for a query of this time, in unix seconds."""
        super().__init__(holder, puts)
        self._counts = counts

    def answered(self, generation: str, records: np.ndarray, answer: _OfRecords) -> Sequence[bytes]:
        """As in the base class, each query with the counts of events of its time."""
        ranker, rows = self.part(generation), dict[EventCounts, list[int]]()
        for row, now in enumerate(records["now"].tolist()):
            rows.setdefault(self._counts(now), []).append(row)
        if len(rows) == 1:
            return answer(self, records, ranker.with_counts(*rows))
        found = [b""] * len(records)
        for counts, at in rows.items():
            for row, record in zip(at, answer(self, records[at], ranker.with_counts(counts)), strict=True):
                found[row] = record
        return found

    @over_rows(wire.RANK, wire.RANKED)
    def rank(self, queries: np.ndarray, ranker: Ranker) -> list[bytes]:
        """The scores of the candidates of each query."""
        return wire.ranked(ranker.score(wire.histories(queries), wire.candidates(queries)))

    @over_rows(wire.FEATURES_OF, wire.EXPLAINED)
    def explain(self, queries: np.ndarray, ranker: Ranker) -> list[bytes]:
        """The features of the candidates at some places, and what each contributes to the score."""
        found = np.zeros(len(queries), wire.EXPLAINED)
        features, _ = ranker.features_and_scores(wire.histories(queries), wire.candidates(queries))
        for row, (of_query, places) in enumerate(zip(features, queries["places"], strict=True)):
            values = of_query[places[places != PAD]]
            count, width = values.shape
            found["features"][row, :count, :width] = values
            found["contributions"][row, :count, :width] = ranker.contributions(values)
        return wire.each(found)

    @over_rows(wire.FEATURES_OF, wire.FEATURES_FOUND)
    def features(self, queries: np.ndarray, ranker: Ranker) -> list[bytes]:
        """The features and scores of the candidates at some places."""
        found = np.zeros(len(queries), wire.FEATURES_FOUND)
        features, scores = ranker.features_and_scores(wire.histories(queries), wire.candidates(queries))
        places = queries["places"].clip(min=0)
        found["scores"] = np.take_along_axis(scores, places, axis=1)
        found["features"][..., : features.shape[2]] = np.take_along_axis(features, places[..., None], axis=1)
        return wire.each(found)


Answer = Callable[[str, np.ndarray], Sequence[bytes]]
"""Answers records of one generation, a record each."""


def answer_each(heads: Sequence[tuple[str, float]], queries: np.ndarray, failure: bytes, answer: Answer) -> list[bytes]:
    """Answer the rows of each generation together. A generation that can't be answered from fails only its own rows.

    heads: the generation of each row, and when its answer is due. failure: the record of a row without an answer.
    """
    late = time.time() + LEAST_SECONDS
    found: list[bytes] = [failure] * len(queries)
    rows: dict[str, list[int]] = {}
    for row, (generation, due) in enumerate(heads):
        if not due < late:
            rows.setdefault(generation, []).append(row)
    for generation, at in rows.items():
        if not NAME.fullmatch(generation):
            logger.warning("%d queries name no generation.", len(at))
            continue
        table = queries if len(at) == len(queries) else queries[at]
        try:
            answered = answer(generation, table)
        except TandemError as error:
            # The generation is not loaded, so no row is at fault.
            logger.warning("%d queries of generation %s failed: %s", len(at), generation, error)
            continue
        except Exception:
            logger.exception("%d queries of generation %s failed together; each is tried alone.", len(at), generation)
            answered = _answer_sound(generation, table, failure, answer)
        for row, record in zip(at, answered, strict=True):
            found[row] = record
    return found


def _answer_sound(generation: str, queries: np.ndarray, failure: bytes, answer: Answer) -> Sequence[bytes]:
    """Answer the rows that can be answered, in a batch of the same size: the size changes the last bits of a score."""
    table, sound = queries.copy(), np.ones(len(queries), bool)
    for row in range(len(table)):
        try:
            answer(generation, table[row : row + 1])
        except Exception as error:
            logger.error("A query of generation %s failed: %s", generation, error)
            sound[row] = False
    if not sound.any():
        return [failure] * len(table)
    table[~sound] = table[np.argmax(sound)]
    records = answer(generation, table)
    return [record if fine else failure for record, fine in zip(records, sound.tolist(), strict=True)]
