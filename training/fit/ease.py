"""EASE, a linear model of items by items: its weights are a source of candidates, and its scores a baseline."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from scipy import sparse

from recsys.types import F32, PAD, Histories
from training.encode.interaction_log import Log

DECAY = 0.9
"""Factor of the weight of a history item for each step back."""


def incidence(log: Log) -> sparse.csr_matrix:
    """Which user had which item: [U, n] float32 of ones."""
    x = sparse.csr_matrix(
        (np.ones(len(log), np.float32), (log.users, log.items)), shape=(len(log.user_ids), len(log.catalogue))
    )
    x.data[:] = 1
    return x


def weighted_histories(histories: Histories, n_items: int, decay: float = DECAY) -> sparse.csr_matrix:
    """Histories as rows [B, n] float32; the weight of an item decays with each step back from the newest."""
    users, positions = np.nonzero(histories.items != PAD)
    weight = (decay ** (histories.items.shape[1] - 1 - positions)).astype(np.float32)
    return sparse.csr_matrix((weight, (users, histories.items[users, positions])), shape=(len(histories), n_items))


class Ease:
    """EASE (Steck, WWW 2019) over items with enough interactions; the weights of a history decay by position."""

    def __init__(self, log: Log, regularization: float, minimum: int = 2, limit: int = 10_000) -> None:
        counts = np.bincount(log.items, minlength=len(log.catalogue))
        kept = np.flatnonzero(counts >= minimum)
        self.kept = kept[np.argsort(-counts[kept], kind="stable")][:limit]
        self._n_items = len(log.catalogue)
        x = incidence(log)[:, self.kept]
        gram = (x.T @ x).toarray()
        gram[np.diag_indices_from(gram)] += regularization
        inverse = scipy.linalg.inv(gram, overwrite_a=True, check_finite=False)
        # Row-major: each product with a sparse matrix would first transpose it.
        self.weights = np.ascontiguousarray(inverse / -np.diag(inverse))
        np.fill_diagonal(self.weights, 0)

    def score(self, histories: Histories) -> F32:
        """Scores of every catalogue item: [B, n] float32; items without enough interactions have -inf."""
        scores = np.full((len(histories), self._n_items), -np.inf, np.float32)
        scores[:, self.kept] = weighted_histories(histories, self._n_items)[:, self.kept] @ self.weights
        return scores
