"""What a recommender has to beat: popularity, recent popularity, and a linear item-to-item model."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from scipy import sparse

from recsys.types import F32, PAD, Histories
from training.log import DAY, Log

HALF_LIFE = 7 * DAY


def popularity(log: Log) -> F32:
    """Interactions of each item."""
    return np.bincount(log.items, minlength=len(log.catalogue)).astype(np.float32)


def recency_popularity(log: Log, half_life: float = HALF_LIFE) -> F32:
    """Interactions of each item, each weighing half for every `half_life` seconds before the log's end."""
    weight = 0.5 ** ((log.end - log.times) / half_life)
    return np.bincount(log.items, weight, minlength=len(log.catalogue)).astype(np.float32)


class Ease:
    """EASE (Steck, WWW 2019) over items with enough interactions, with a history's votes decaying by position."""

    def __init__(
        self, log: Log, regularization: float, minimum: int = 1, decay: float = 0.9, limit: int = 10_000
    ) -> None:
        counts = popularity(log)
        kept = np.flatnonzero(counts >= minimum)
        kept = kept[np.argsort(-counts[kept], kind="stable")][:limit]
        self._row = np.full(len(log.catalogue), PAD, np.int64)
        self._row[kept] = np.arange(len(kept))
        self._kept = kept
        self._decay = decay
        x = sparse.csr_matrix(
            (np.ones(len(log), np.float32), (log.users, log.items)), shape=(len(log.user_ids), len(log.catalogue))
        )[:, kept]
        x.data[:] = 1
        gram = (x.T @ x).toarray()
        gram[np.diag_indices_from(gram)] += regularization
        inverse = scipy.linalg.inv(gram, overwrite_a=True, check_finite=False)
        self.weights = inverse / -np.diag(inverse)
        np.fill_diagonal(self.weights, 0)

    def score(self, histories: Histories) -> F32:
        """Scores of every catalogue item: [B, n] float32; items without enough interactions get -inf."""
        users, positions = np.nonzero(histories.items != PAD)
        rows = self._row[histories.items[users, positions]]
        weight = self._decay ** (histories.items.shape[1] - 1 - positions).astype(np.float32)
        known = rows != PAD
        votes = sparse.csr_matrix(
            (weight[known], (users[known], rows[known])), shape=(len(histories), len(self._kept)), dtype=np.float32
        )
        scores = np.full((len(histories), len(self._row)), -np.inf, np.float32)
        scores[:, self._kept] = votes @ self.weights
        return scores
