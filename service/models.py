"""Retrieval and ranking as plain classes over wire rows: what the BentoML services wrap."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

import numpy as np

from recsys.errors import TandemError
from recsys.items import NOTHING_PUT, PutItems
from recsys.types import I64, PAD
from service import wire
from service.holder import GenerationHolder

if TYPE_CHECKING:  # and with them torch, which a gateway that calls them elsewhere does without
    from recsys.ranker import Ranker
    from recsys.retriever import Retriever

logger = logging.getLogger("tandem")


LEAST_SECONDS = 0.001
"""With less left, what is asked for would come too late: nobody computes it."""


class Grows(Protocol):
    """A part of a generation that can take in what was put since."""

    def with_items(self, puts: PutItems) -> Self:
        """The same and the items put."""


T = TypeVar("T", bound=Grows)


class _Model(Generic[T]):
    """Answers a batch of rows that may name several generations."""

    def __init__(self, holder: GenerationHolder[T], puts: Callable[[], PutItems] = lambda: NOTHING_PUT) -> None:
        """puts: all items put that this process knows of."""
        self._holder = holder
        self._puts = puts

    def _answered(
        self,
        rows: wire.Rows,
        asks: np.dtype,
        gives: np.dtype,
        answer: Callable[[np.ndarray, T, np.ndarray, I64], None],
    ) -> wire.Rows:
        asked = wire.as_table(rows, asks)
        found = np.zeros(len(asked), gives)

        def of_generation(generation: str, rows: np.ndarray, at: I64) -> None:
            answer(rows, self._holder.get(generation).with_items(self._puts()), found, at)

        answer_each(asked, found, of_generation)
        return wire.as_bytes(found)


class RetrievalModel(_Model["Retriever"]):
    """Candidates for a batch of rows that may name several generations."""

    def retrieve(self, rows: wire.Rows) -> wire.Rows:
        """RETRIEVE rows in, RETRIEVED rows out, in the same order; a row that can't be answered is marked failed."""

        def answer(asked: np.ndarray, retriever: Retriever, found: np.ndarray, at: I64) -> None:
            extra = asked["extra"] if (asked["extra"] != PAD).any() else None
            wire.put_candidates(found, at, retriever.retrieve(wire.histories(asked), extra, wire.filters(asked)))

        return self._answered(rows, wire.RETRIEVE, wire.RETRIEVED, answer)

    def complete(self, rows: wire.Rows) -> wire.Rows:
        """RANK rows in, whose candidates have no tower scores yet; RETRIEVED rows with them out."""

        def answer(asked: np.ndarray, retriever: Retriever, found: np.ndarray, at: I64) -> None:
            completed = retriever.complete(wire.histories(asked), asked["items"], asked["sources"])
            wire.put_candidates(found, at, completed)

        return self._answered(rows, wire.RANK, wire.RETRIEVED, answer)

    def place(self, rows: wire.Rows) -> wire.Rows:
        """PLACE rows in, PLACED rows out."""

        def answer(asked: np.ndarray, retriever: Retriever, found: np.ndarray, at: I64) -> None:
            found["tower"][at], found["place"][at] = retriever.place(wire.histories(asked), asked["item"])

        return self._answered(rows, wire.PLACE, wire.PLACED, answer)

    def similar(self, rows: wire.Rows) -> wire.Rows:
        """SIMILAR rows in, SIMILAR_FOUND rows out."""

        def answer(asked: np.ndarray, retriever: Retriever, found: np.ndarray, at: I64) -> None:
            for place, (row, item) in enumerate(zip(at, asked["item"].tolist(), strict=True)):
                candidates, scores = retriever.similar(item, wire.filters(asked[place : place + 1]))
                wire.put_candidates(found, slice(row, row + 1), candidates)
                found["scores"][row, : scores.shape[1]] = scores[0]

        return self._answered(rows, wire.SIMILAR, wire.SIMILAR_FOUND, answer)


class RankingModel(_Model["Ranker"]):
    """Scores for a batch of rows that may name several generations."""

    def rank(self, rows: wire.Rows) -> wire.Rows:
        """RANK rows in, RANKED rows out, in the same order; a row that can't be answered is marked failed."""

        def answer(asked: np.ndarray, ranker: Ranker, found: np.ndarray, at: I64) -> None:
            found["scores"][at] = ranker.score(wire.histories(asked), wire.candidates(asked))

        return self._answered(rows, wire.RANK, wire.RANKED, answer)

    def explain(self, rows: wire.Rows) -> wire.Rows:
        """EXPLAIN rows in, EXPLAINED rows out: features of the candidate at a place, and what each contributes."""

        def answer(asked: np.ndarray, ranker: Ranker, found: np.ndarray, at: I64) -> None:
            features, _ = ranker.features_and_scores(wire.histories(asked), wire.candidates(asked))
            for row, of_one, place in zip(at, features, asked["place"].tolist(), strict=True):
                found["features"][row] = of_one[place]
                found["contributions"][row] = ranker.contributions(of_one[place])

        return self._answered(rows, wire.EXPLAIN, wire.EXPLAINED, answer)

    def features(self, rows: wire.Rows) -> wire.Rows:
        """FEATURES_OF rows in, FEATURES_FOUND rows out: features and scores of the candidates at some places."""

        def answer(asked: np.ndarray, ranker: Ranker, found: np.ndarray, at: I64) -> None:
            features, scores = ranker.features_and_scores(wire.histories(asked), wire.candidates(asked))
            taken = asked["places"].clip(min=0)
            found["scores"][at] = np.take_along_axis(scores, taken, axis=1)
            found["features"][at] = np.take_along_axis(features, taken[..., None], axis=1)

        return self._answered(rows, wire.FEATURES_OF, wire.FEATURES_FOUND, answer)


Answer = Callable[[str, np.ndarray, I64], None]
"""Answers records of one generation into these places."""


def answer_each(asked: np.ndarray, answered: np.ndarray, answer: Answer) -> None:
    """Answer the rows of each generation together, so that one that can't be answered fails only itself."""
    late = asked["due"] < time.time() + LEAST_SECONDS
    answered["failed"][late] = 1
    for generation, rows in wire.by_generation(asked):
        at = rows[~late[rows]]
        if not len(at):
            continue
        try:
            answer(generation, asked[at], at)
        except TandemError as error:
            # The generation itself can't be had, or not yet: that is nobody's row.
            logger.warning("%d queries of generation %s failed: %s", len(at), generation, error)
            answered["failed"][at] = 1
        except Exception:
            logger.exception("%d queries of generation %s failed together; looking for the one.", len(at), generation)
            _answer_sound(generation, asked, answered, at, answer)


def _answer_sound(generation: str, asked: np.ndarray, answered: np.ndarray, at: I64, answer: Answer) -> None:
    """Answer the rows that can be answered, in a batch of the same size: with items put since, bits follow it."""
    table, sound = asked[at], np.ones(len(at), bool)
    for place in range(len(at)):
        try:
            answer(generation, table[place : place + 1], at[place : place + 1])
        except Exception as error:
            logger.error("A query of generation %s failed: %s", generation, error)
            sound[place] = False
    if sound.any():
        table[~sound] = table[np.argmax(sound)]
        answer(generation, table, at)
    answered[at[~sound]] = np.zeros(1, answered.dtype)
    answered["failed"][at[~sound]] = 1
