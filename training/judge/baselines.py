"""Baseline recommenders that a trained model has to beat, beside popularity and EASE: item neighbours (kNN), implicit
ALS, and the user's own items.

Each baseline represents a user by the history alone, so that it also scores items for users without an event in
training.
"""

from __future__ import annotations

import importlib.util
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse

from recsys.types import F32, HISTORY_LENGTH, I64, PAD, Histories
from training.encode.interaction_log import Log
from training.fit.neighbours import incidence, weighted_histories


def newest_items(histories: Histories, n_items: int, others: F32) -> F32:
    """Scores that order the user's own items, newest first, and then the others by `others` [n]: [B, n] float32."""
    users, items, back = _events(histories)
    own = np.full((len(histories), n_items), -np.inf, np.float32)
    np.maximum.at(own, (users, items), -back)
    return _above(own, others)


def frequent_items(histories: Histories, n_items: int, others: F32, decay: float = 1.0) -> F32:
    """Scores that order the user's own items by how often they occur, each occurrence decayed by its steps back.

    Of two items that occur as often the newer one is first. `others` [n] orders the other items: [B, n] float32.
    """
    users, items, back = _events(histories)
    own = np.full((len(histories), n_items), -np.inf, np.float32)
    np.maximum.at(own, (users, items), 0)
    np.add.at(own, (users, items), decay**back + 1e-4 / (1 + back))
    return _above(own, others)


def _events(histories: Histories) -> tuple[I64, I64, I64]:
    """The row, the item and the steps back of each event of the histories."""
    users, positions = np.nonzero(histories.items != PAD)
    return users, histories.items[users, positions].astype(np.int64), histories.items.shape[1] - 1 - positions


def _above(own: F32, others: F32) -> F32:
    """The scores `own` [B, n], and where they are -inf lower scores in the order of `others` [n]."""
    lower = (others / max(float(others.max()), 1e-9) - HISTORY_LENGTH - 2).astype(np.float32)
    return np.where(np.isfinite(own), own, lower)


class ItemKnn:
    """Item neighbours by cosine over the users of both items; the weights of a history decay by position.

    The newest LENGTH interactions of a user count: the cost grows with the square of their number.
    """

    NEIGHBOURS, LENGTH = 100, 5 * HISTORY_LENGTH
    PRODUCTS = 1 << 24
    """Pairs of interactions of one user that are summed at once; they bound the memory of a block of cosines."""

    def __init__(self, log: Log) -> None:
        x = incidence(_newest(log, self.LENGTH))
        norm = np.sqrt(np.asarray(x.sum(axis=0)).ravel())
        x = (x @ sparse.diags(1 / np.maximum(norm, 1))).tocsr()
        transposed = x.T.tocsr()
        # Blocks of equal cost: with blocks of as many rows as could all be full, time is quadratic in the items.
        products = np.cumsum(transposed.astype(bool) @ np.diff(x.indptr))
        cuts = _cuts(products, self.PRODUCTS)
        blocks = [_largest(transposed[start:end] @ x, start, self.NEIGHBOURS) for start, end in pairwise(cuts)]
        self.weights = sparse.vstack(blocks).tocsr()

    def score(self, histories: Histories) -> F32:
        """Scores of every catalogue item: [B, n] float32; 0 for an item that is no neighbour of the history."""
        scores: F32 = (weighted_histories(histories, self.weights.shape[0]) @ self.weights).toarray()
        return scores


class Ials:
    """Implicit ALS (Hu et al., ICDM 2008) by the `implicit` package; a user's factors follow from the history.

    On MovieLens 1M, leave one out, regularizations of .01 to 20 have recall@10 .099 to .103 (standard error .004).
    """

    FACTORS, REGULARIZATION, ALPHA, ITERATIONS = 64, 10.0, 1.0, 15

    def __init__(self, log: Log, threads: int, seed: int) -> None:
        from implicit.cpu.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits

        self._n_items = len(log.catalogue)
        with threadpool_limits(1, "blas"):  # threads of BLAS and of the package slow each other down
            self._model: Any = AlternatingLeastSquares(
                self.FACTORS,
                self.REGULARIZATION,
                self.ALPHA,
                iterations=self.ITERATIONS,
                num_threads=threads,
                random_state=seed,
            )
            self._model.fit(incidence(log), show_progress=False)

    @staticmethod
    def installed() -> bool:
        """Whether the package is installed."""
        return importlib.util.find_spec("implicit") is not None

    def score(self, histories: Histories) -> F32:
        """Scores of every catalogue item: [B, n] float32."""
        rows = weighted_histories(histories, self._n_items, decay=1.0)
        users = self._model.recalculate_user(np.arange(len(histories)), rows)
        scores: F32 = users @ self._model.item_factors.T
        return scores


def _newest(log: Log, length: int) -> Log:
    """The `length` newest events of each user."""
    order, offsets = log.by_user
    last = np.repeat(offsets[1:], np.diff(offsets))
    kept: I64 = order[last - np.arange(len(log)) <= length]
    return log[np.sort(kept)]


def _cuts(total: I64, most: int) -> list[int]:
    """The cuts of rows with cumulative costs `total` [n], so that no part of several rows costs more than `most`."""
    cuts = [0]
    while cuts[-1] < len(total):
        spent = total[cuts[-1] - 1] if cuts[-1] else 0
        cuts.append(max(int(np.searchsorted(total, spent + most, side="right")), cuts[-1] + 1))
    return cuts


def _largest(weights: sparse.csr_matrix, start: int, k: int) -> sparse.csr_matrix:
    """The k largest entries of each row, without the entry of row r in column start + r."""
    entries = weights.tocoo()
    off = entries.row + start != entries.col
    row, col, value = entries.row[off], entries.col[off], entries.data[off]
    order = np.lexsort((-value, row))
    row, col, value = row[order], col[order], value[order]
    kept = np.arange(len(row)) - np.searchsorted(row, row) < k
    return sparse.csr_matrix((value[kept], (row[kept], col[kept])), shape=weights.shape)
