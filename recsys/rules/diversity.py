"""Maximal marginal relevance. Carbonell and Goldstein, "The Use of MMR", SIGIR 1998."""

from __future__ import annotations

import numpy as np

from recsys.rules.document import Diversity
from recsys.types import F32, Bool


class Unlikeness:
    """Chooses candidates that are relevant and unlike what stands in the slate.

    scores: [n], the highest first. embeddings: [n, d], of length 1 or 0.
    """

    def __init__(self, diversity: Diversity, scores: F32, embeddings: F32) -> None:
        self._weight, self._among = diversity.weight, diversity.among
        least, most = (float(scores[-1]), float(scores[0])) if len(scores) else (0.0, 0.0)
        self._relevance = ((scores - least) / ((most - least) or 1.0)).astype(np.float32)
        self._embeddings = embeddings
        self._likest = np.zeros(len(scores), np.float32)

    def best(self, eligible: Bool) -> int:
        """The place of the best of the first so many candidates that are eligible."""
        places = np.flatnonzero(eligible)[: self._among]
        worth = (1 - self._weight) * self._relevance[places] - self._weight * self._likest[places]
        return int(places[np.argmax(worth)])

    def chose(self, embedding: F32) -> None:
        """Count an item, a candidate or not, among those that others are to be unlike."""
        self._likest = np.maximum(self._likest, self._embeddings @ embedding)
