"""Smoke queries: sixteen synthetic users and the models' answers for them, which loaded models must repeat.

Models of one training with item embeddings of another pass every check of shape and hash, and return wrong candidates.
The smoke queries find such a mixture before it serves a request.
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
"""Events of a synthetic user, an hour apart."""

PREFIX = "smoke"

SHARED = 0.95
"""The least share of stored candidates that must be found again. Another CPU rounds differently, so that items with
nearly equal scores change places. A mixture finds hardly any (tests/unit/generation/test_content_checks.py)."""

TOLERANCE = 0.02
"""The absolute and relative difference of two scores that count as equal."""


@dataclass(frozen=True, slots=True)
class SmokeQueries:
    """Histories, and the candidates and scores [B, K] float32 of the generation's own retriever and ranker."""

    histories: Histories
    found: Candidates
    scores: F32

    @classmethod
    def generate(cls, popularity: F64, now: float, retriever: Retriever, ranker: Ranker) -> SmokeQueries:
        """Queries of users with random popular items until `now`. No user of the data has these histories.

        popularity: [n], interactions of each item.
        """
        rng = np.random.default_rng(0)
        share = popularity / popularity.sum() if popularity.sum() else None
        histories = Histories.empty(np.full(QUERIES, now))
        for row in range(QUERIES):
            items = rng.choice(len(popularity), STEPS, p=share).astype(np.int32)
            times = np.linspace(now - 3600 * STEPS, now - 3600, STEPS)
            histories.put(row, items, times, np.zeros(STEPS, np.uint8))
        found = retriever.retrieve(histories)
        return cls(histories, found, ranker.score(histories, found))

    def save(self, folder: Path) -> None:
        """Write an npy file for each array."""
        np.save(folder / f"{PREFIX}.scores.npy", self.scores)
        for part in (self.histories, self.found):
            for field in fields(part):
                np.save(_path(folder, type(part), field.name), getattr(part, field.name))

    @classmethod
    def load(cls, folder: Path) -> SmokeQueries:
        """Inverse of `save`. Pickled files are refused."""

        def read(kind: type) -> list[np.ndarray]:
            return [np.load(_path(folder, kind, field.name), allow_pickle=False) for field in fields(kind)]

        scores = np.load(folder / f"{PREFIX}.scores.npy", allow_pickle=False)
        smoke = cls(Histories(*read(Histories)), Candidates(*read(Candidates)), scores)
        if not (smoke.found.items != PAD).any():
            raise ValueError("its smoke queries found nothing, and so prove nothing")
        return smoke

    def check_retrieval(self, retriever: Retriever) -> None:
        """GenerationError if a retriever does not find the same candidates with the same tower scores."""
        again = retriever.retrieve(self.histories)
        for row, expected in enumerate(self.found.items):
            at, there = np.nonzero((expected[:, None] == again.items[row]) & (expected != PAD)[:, None])
            wanted = int((expected != PAD).sum())
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


def _path(folder: Path, kind: type, field: str) -> Path:
    return folder / f"{PREFIX}.{kind.__name__.lower()}.{field}.npy"


def _close(scores: F32, expected: F32) -> bool:
    """Whether nearly all scores are as expected."""
    return not len(scores) or float(np.isclose(scores, expected, rtol=TOLERANCE, atol=TOLERANCE).mean()) >= SHARED
