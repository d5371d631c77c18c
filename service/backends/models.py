"""Retrieval and ranking as plain classes over wire rows: what the BentoML services wrap."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

import numpy as np

from recsys.errors import TandemError
from recsys.generation import NAME
from recsys.items import NOTHING_PUT, PutItems
from service.backends import wire
from service.generations.holder import GenerationHolder

if TYPE_CHECKING:  # and with them torch, which a gateway that calls them elsewhere does without
    from recsys.ranker import Ranker
    from recsys.retriever import Retriever

logger = logging.getLogger("tandem")

LEAST_SECONDS = 0.001
"""A row with less time left is not computed: its answer would be late."""


class Grows(Protocol):
    """A part of a generation that accepts the items put since."""

    def with_items(self, puts: PutItems) -> Self:
        """The same with the items put."""


T = TypeVar("T", bound=Grows)


class _Model(Generic[T]):
    """Answers a batch of rows of several generations."""

    def __init__(self, holder: GenerationHolder[T], puts: Callable[[], PutItems] = lambda: NOTHING_PUT) -> None:
        """puts: all items put that this process knows of."""
        self._holder = holder
        self._puts = puts

    def _answered(
        self, rows: wire.Rows, asks: np.dtype, gives: np.dtype, answer: Callable[[np.ndarray, T], Sequence[bytes]]
    ) -> wire.Rows:
        def of_generation(generation: str, asked: np.ndarray) -> Sequence[bytes]:
            return answer(asked, self._holder.get(generation).with_items(self._puts()))

        asked = wire.as_table(rows, asks)
        return wire.stacked(answer_each(wire.heads(rows), asked, wire.failure(gives), of_generation), gives)


class RetrievalModel(_Model["Retriever"]):
    """Candidates for a batch of rows of several generations."""

    def retrieve(self, rows: wire.Rows) -> wire.Rows:
        """RETRIEVE rows in, RETRIEVED rows out, in the same order; a row that can't be answered is marked failed."""

        def answer(asked: np.ndarray, retriever: Retriever) -> list[bytes]:
            return wire.retrieved(retriever.retrieve(wire.histories(asked), wire.extra(asked), wire.filters(asked)))

        return self._answered(rows, wire.RETRIEVE, wire.RETRIEVED, answer)

    def complete(self, rows: wire.Rows) -> wire.Rows:
        """RANK rows in, whose candidates have no tower scores yet; RETRIEVED rows with them out."""

        def answer(asked: np.ndarray, retriever: Retriever) -> list[bytes]:
            return wire.retrieved(retriever.complete(wire.histories(asked), asked["items"], asked["sources"]))

        return self._answered(rows, wire.RANK, wire.RETRIEVED, answer)

    def place(self, rows: wire.Rows) -> wire.Rows:
        """PLACE rows in, PLACED rows out."""

        def answer(asked: np.ndarray, retriever: Retriever) -> list[bytes]:
            found = np.zeros(len(asked), wire.PLACED)
            found["tower"], found["place"] = retriever.place(wire.histories(asked), asked["item"])
            return wire.each(found)

        return self._answered(rows, wire.PLACE, wire.PLACED, answer)

    def similar(self, rows: wire.Rows) -> wire.Rows:
        """SIMILAR rows in, SIMILAR_FOUND rows out."""

        def answer(asked: np.ndarray, retriever: Retriever) -> list[bytes]:
            rows = (asked[row : row + 1] for row in range(len(asked)))
            return [wire.similar_found(*retriever.similar(int(row["item"][0]), wire.filters(row))) for row in rows]

        return self._answered(rows, wire.SIMILAR, wire.SIMILAR_FOUND, answer)


class RankingModel(_Model["Ranker"]):
    """Scores for a batch of rows of several generations."""

    def rank(self, rows: wire.Rows) -> wire.Rows:
        """RANK rows in, RANKED rows out, in the same order; a row that can't be answered is marked failed."""

        def answer(asked: np.ndarray, ranker: Ranker) -> list[bytes]:
            return wire.ranked(ranker.score(wire.histories(asked), wire.candidates(asked)))

        return self._answered(rows, wire.RANK, wire.RANKED, answer)

    def explain(self, rows: wire.Rows) -> wire.Rows:
        """EXPLAIN rows in, EXPLAINED rows out: features of the candidate at a place, and what each contributes."""

        def answer(asked: np.ndarray, ranker: Ranker) -> list[bytes]:
            found = np.zeros(len(asked), wire.EXPLAINED)
            features, _ = ranker.features_and_scores(wire.histories(asked), wire.candidates(asked))
            for row, (of_one, place) in enumerate(zip(features, asked["place"].tolist(), strict=True)):
                found["features"][row] = of_one[place]
                found["contributions"][row] = ranker.contributions(of_one[place])
            return wire.each(found)

        return self._answered(rows, wire.EXPLAIN, wire.EXPLAINED, answer)

    def features(self, rows: wire.Rows) -> wire.Rows:
        """FEATURES_OF rows in, FEATURES_FOUND rows out: features and scores of the candidates at some places."""

        def answer(asked: np.ndarray, ranker: Ranker) -> list[bytes]:
            found = np.zeros(len(asked), wire.FEATURES_FOUND)
            features, scores = ranker.features_and_scores(wire.histories(asked), wire.candidates(asked))
            taken = asked["places"].clip(min=0)
            found["scores"] = np.take_along_axis(scores, taken, axis=1)
            found["features"] = np.take_along_axis(features, taken[..., None], axis=1)
            return wire.each(found)

        return self._answered(rows, wire.FEATURES_OF, wire.FEATURES_FOUND, answer)


Answer = Callable[[str, np.ndarray], Sequence[bytes]]
"""Answers records of one generation, a record each."""


def answer_each(heads: Sequence[tuple[str, float]], asked: np.ndarray, failure: bytes, answer: Answer) -> list[bytes]:
    """Answer the rows of each generation together. A generation that can't be answered from fails only its own rows.

    heads: the generation of each row, and when its answer is due. failure: the record of a row without an answer.
    """
    soon = time.time() + LEAST_SECONDS
    found: list[bytes] = [failure] * len(asked)
    rows: dict[str, list[int]] = {}
    for row, (generation, due) in enumerate(heads):
        if not due < soon:
            rows.setdefault(generation, []).append(row)
    for generation, at in rows.items():
        if not NAME.fullmatch(generation):
            logger.warning("%d queries name no generation.", len(at))
            continue
        table = asked if len(at) == len(asked) else asked[at]
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


def _answer_sound(generation: str, asked: np.ndarray, failure: bytes, answer: Answer) -> Sequence[bytes]:
    """Answer the rows that can be answered, in a batch of the same size: the size changes the last bits of a score."""
    table, sound = asked.copy(), np.ones(len(asked), bool)
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
