"""Recommendations with the service's own compiled retriever and ranker, for other servers in the benchmark.

Each request is computed alone, without batches. The servers bentoml_kernels and fastapi_same_kernels use it.
"""

from __future__ import annotations

from loadtests.bench.peers.engine import Engine
from recsys.generation.manifest import GenerationFolder
from recsys.model.ranker import Ranker
from recsys.retrieval.retriever import Retriever
from recsys.types import F32, I32, PAD, U16, Candidates, Histories


class KernelRecommender(Engine):
    """Retrieval and ranking as the service computes them."""

    def __init__(self, folder: GenerationFolder) -> None:
        super().__init__(folder)
        self._retriever, self._ranker = Retriever.load(folder), Ranker.load(folder)

    def candidates(self, past: Histories) -> tuple[I32, F32, U16]:
        """As `Engine.candidates`."""
        found = self._retriever.retrieve(past)
        real = found.items[0] != PAD
        return found.items[0][real], found.tower[0][real], found.sources[0][real]

    def scores(self, past: Histories, items: I32, tower: F32, sources: U16) -> F32:
        """As `Engine.scores`."""
        scores: F32 = self._ranker.score(past, Candidates(items[None], tower[None], sources[None]))[0]
        return scores
