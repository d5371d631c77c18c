"""Smoke queries: a few made-up users whose candidates and scores a generation carries with it, to be found again.

Towers of one generation over embeddings of another pass every check of shape and hash, and answer nonsense. Asked what
it answered where it was made, such a mixture gives itself away. Knows no store.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from recsys.errors import GenerationError
from recsys.model.ranker import Ranker
from recsys.retrieval.retriever import Retriever
from recsys.types import F32, F64, PAD, Candidates, Histories

QUERIES = 16

STEPS = 12
"""Events of such a user, an hour apart."""

PREFIX = "smoke"

SHARED = 0.95
"""Least share of a query's candidates that have to be found again: another CPU rounds otherwise, and where scores all
but tie, other items make the cut. Of a mixture hardly any are (tests/unit/generation/test_soundness.py)."""

CLOSE = 0.02
"""How far a score may be from that told, in absolute terms and of itself."""


@dataclass(frozen=True, slots=True)
class SmokeQueries:
    """Histories, and what the generation's own retriever and ranker said of them. scores: [B, K] float32."""

    histories: Histories
    found: Candidates
    scores: F32

    @classmethod
    def make_up(cls, popularity: F64, now: float, retriever: Retriever, ranker: Ranker) -> SmokeQueries:
        """Ask for users who took some popular items until `now`: nobody's history, since it travels in images.

        popularity: [n], interactions of each item.
        """
        rng = np.random.default_rng(0)
        share = popularity / popularity.sum() if popularity.sum() else None
        histories = Histories.empty(np.full(QUERIES, now))
        for row in range(QUERIES):
            items = rng.choice(len(popularity), STEPS, p=share).astype(np.int32)
            times = np.linspace(now - 3600 * STEPS, now - 3600, STEPS)
            histories.put(row, items, times, np.zeros(STEPS, np.uint8))
        return cls.ask(histories, retriever, ranker)

    @classmethod
    def ask(cls, histories: Histories, retriever: Retriever, ranker: Ranker) -> SmokeQueries:
        """What a generation says of these histories, at the moment it is made."""
        found = retriever.retrieve(histories)
        return cls(histories, found, ranker.score(histories, found))

    def save(self, folder: Path) -> None:
        """Write a npy file for each array."""
        for name, array in self._arrays().items():
            np.save(folder / f"{PREFIX}.{name}.npy", array)

    @classmethod
    def load(cls, folder: Path) -> SmokeQueries:
        """Inverse of `save`; nothing is unpickled."""

        def read(kind: type) -> list[np.ndarray]:
            return [
                np.load(folder / f"{PREFIX}.{kind.__name__.lower()}.{field.name}.npy", allow_pickle=False)
                for field in fields(kind)
            ]

        scores = np.load(folder / f"{PREFIX}.scores.npy", allow_pickle=False)
        items, tower, sources = read(Candidates)
        # Generations from before flags had two bytes store them as bytes.
        smoke = cls(Histories(*read(Histories)), Candidates(items, tower, sources.astype(np.uint16)), scores)
        if not (smoke.found.items != PAD).any():
            raise ValueError("its smoke queries found nothing, and so prove nothing")
        return smoke

    def check_retrieval(self, retriever: Retriever) -> None:
        """GenerationError if a retriever does not find the same candidates with the same tower scores."""
        again = retriever.retrieve(self.histories)
        for row, told in enumerate(self.found.items):
            at, there = np.nonzero((told[:, None] == again.items[row]) & (told != PAD)[:, None])
            wanted = int((told != PAD).sum())
            if len(at) < SHARED * wanted or not _close(again.tower[row, there], self.found.tower[row, at]):
                raise GenerationError(
                    f"Smoke query {row + 1} found {len(at)} of the {wanted} candidates found where the generation "
                    "was made, or found them with other scores: its towers and its embeddings are not of one making."
                )

    def check_ranking(self, ranker: Ranker) -> None:
        """GenerationError if a ranker does not give the same candidates the same scores."""
        again = ranker.score(self.histories, self.found)
        real = self.found.items != PAD
        if not _close(again[real], self.scores[real]):
            raise GenerationError(
                "The ranker scores the smoke queries otherwise than it did where the generation was made: it does not "
                "belong to these tables."
            )

    def _arrays(self) -> dict[str, np.ndarray]:
        named = {"scores": self.scores}
        for part in (self.histories, self.found):
            kind = type(part).__name__.lower()
            named |= {f"{kind}.{field.name}": getattr(part, field.name) for field in fields(part)}
        return named


def _close(ours: F32, told: F32) -> bool:
    """Whether nearly all scores are those told."""
    return not len(told) or float(np.isclose(ours, told, rtol=CLOSE, atol=CLOSE).mean()) >= SHARED
