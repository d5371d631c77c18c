"""Retrieval and ranking as plain classes over wire rows: what the BentoML services wrap."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from recsys.errors import TandemError
from recsys.items import NOTHING_PUT, PutItems
from recsys.ranker import Ranker
from recsys.retriever import Retriever
from recsys.types import I64
from service import wire
from service.holder import GenerationHolder

logger = logging.getLogger("tandem")


class RetrievalModel:
    """Candidates for a batch of rows that may name several generations."""

    def __init__(self, holder: GenerationHolder[Retriever], puts: Callable[[], PutItems] = lambda: NOTHING_PUT) -> None:
        """puts: all items put that this process knows of."""
        self._holder = holder
        self._puts = puts

    def retrieve(self, rows: wire.Rows) -> wire.Rows:
        """RETRIEVE rows in, RETRIEVED rows out, in the same order; a row that can't be answered is marked failed."""
        asked = wire.as_table(rows, wire.RETRIEVE)
        found = np.zeros(len(asked), wire.RETRIEVED)

        def answer(generation: str, at: I64) -> None:
            retriever = self._holder.get(generation).with_items(self._puts())
            candidates = retriever.retrieve(wire.histories(asked[at]))
            wire.put_candidates(found, at, candidates)

        _answer_each(asked, found, answer)
        return wire.as_bytes(found)


class RankingModel:
    """Scores for a batch of rows that may name several generations."""

    def __init__(self, holder: GenerationHolder[Ranker], puts: Callable[[], PutItems] = lambda: NOTHING_PUT) -> None:
        """puts: all items put that this process knows of."""
        self._holder = holder
        self._puts = puts

    def rank(self, rows: wire.Rows) -> wire.Rows:
        """RANK rows in, RANKED rows out, in the same order; a row that can't be answered is marked failed."""
        asked = wire.as_table(rows, wire.RANK)
        scored = np.zeros(len(asked), wire.RANKED)

        def answer(generation: str, at: I64) -> None:
            table = asked[at]
            ranker = self._holder.get(generation).with_items(self._puts())
            scores = ranker.score(wire.histories(table), wire.candidates(table))
            wire.put_scores(scored, at, scores)

        _answer_each(asked, scored, answer)
        return wire.as_bytes(scored)


def _answer_each(asked: np.ndarray, answered: np.ndarray, answer: Callable[[str, I64], None]) -> None:
    """Answer the rows of each generation together; where that fails, each alone, so that one row fails only itself."""
    for generation, at in wire.by_generation(asked):
        try:
            answer(generation, at)
        except TandemError as error:
            # The generation itself can't be had, or not yet: that is nobody's row.
            logger.warning("%d queries of generation %s failed: %s", len(at), generation, error)
            answered["failed"][at] = 1
        except Exception:
            logger.exception("%d queries of generation %s failed together; trying each alone.", len(at), generation)
            for row in at:
                try:
                    answer(generation, at[at == row])
                except Exception as error:
                    logger.error("A query of generation %s failed: %s", generation, error)
                    answered["failed"][row] = 1
