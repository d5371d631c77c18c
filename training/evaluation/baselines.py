"""What a recommender has to beat: popularity, recent popularity, neighbours, a linear and a factor model.

Each knows users by their histories alone, so all answer for users whom they never saw.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.linalg
from scipy import sparse

from recsys.types import F32, HISTORY_LENGTH, I64, PAD, Histories
from training.data.interaction_log import DAY, Log

HALF_LIFE = 7 * DAY
DECAY = 0.9
"""Weight of a history item's vote for each step back."""


def popularity(log: Log) -> F32:
    """Weighted interactions of each item."""
    return np.bincount(log.items, log.weights, minlength=len(log.catalogue)).astype(np.float32)


def recency_popularity(log: Log, half_life: float = HALF_LIFE) -> F32:
    """Weighted interactions of each item, each half for every `half_life` seconds before the log's end."""
    weight = log.weights * 0.5 ** ((log.end - log.times) / half_life)
    return np.bincount(log.items, weight, minlength=len(log.catalogue)).astype(np.float32)


def incidence(log: Log) -> sparse.csr_matrix:
    """Who had what: [U, n] float32 of ones."""
    x = sparse.csr_matrix(
        (np.ones(len(log), np.float32), (log.users, log.items)), shape=(len(log.user_ids), len(log.catalogue))
    )
    x.data[:] = 1
    return x


def votes(histories: Histories, n_items: int, decay: float = DECAY) -> sparse.csr_matrix:
    """Histories as rows [B, n] float32, each item weighing `decay` for every step back from the newest."""
    users, positions = np.nonzero(histories.items != PAD)
    weight = (decay ** (histories.items.shape[1] - 1 - positions)).astype(np.float32)
    return sparse.csr_matrix((weight, (users, histories.items[users, positions])), shape=(len(histories), n_items))


def newest_items(histories: Histories, n_items: int, fill: F32) -> F32:
    """The user's own distinct items, the newest first, and behind them `fill` [n]: [B, n] float32."""
    return _own(
        histories, n_items, fill, lambda scores, users, items, back: np.maximum.at(scores, (users, items), -back)
    )


def frequent_items(histories: Histories, n_items: int, fill: F32, decay: float = 1.0) -> F32:
    """The user's own items by how often they occur, each occurrence weighing `decay` a step back: [B, n] float32.

    The newer of two that occur as often is first; `fill` [n] orders what is behind them.
    """

    def count(scores: F32, users: I64, items: I64, back: I64) -> None:
        np.maximum.at(scores, (users, items), 0)
        np.add.at(scores, (users, items), decay**back + 1e-4 / (1 + back))

    return _own(histories, n_items, fill, count)


def _own(histories: Histories, n_items: int, fill: F32, order: Callable[[F32, I64, I64, I64], None]) -> F32:
    """Scores that `order` gives to the items of each history, above all that `fill` gives to the others."""
    users, positions = np.nonzero(histories.items != PAD)
    own = np.full((len(histories), n_items), -np.inf, np.float32)
    order(own, users, histories.items[users, positions].astype(np.int64), histories.items.shape[1] - 1 - positions)
    behind = (fill / max(float(fill.max()), 1e-9) - HISTORY_LENGTH - 2).astype(np.float32)
    return np.where(np.isfinite(own), own, behind)


class Ease:
    """EASE (Steck, WWW 2019) over items with enough interactions, with a history's votes decaying by position."""

    def __init__(self, log: Log, regularization: float, minimum: int = 2, limit: int = 10_000) -> None:
        counts = np.bincount(log.items, minlength=len(log.catalogue))
        kept = np.flatnonzero(counts >= minimum)
        self.kept = kept[np.argsort(-counts[kept], kind="stable")][:limit]
        self._n_items = len(log.catalogue)
        x = incidence(log)[:, self.kept]
        gram = (x.T @ x).toarray()
        gram[np.diag_indices_from(gram)] += regularization
        inverse = scipy.linalg.inv(gram, overwrite_a=True, check_finite=False)
        # In rows, or each product with a sparse matrix would first turn all of it.
        self.weights = np.ascontiguousarray(inverse / -np.diag(inverse))
        np.fill_diagonal(self.weights, 0)

    def score(self, histories: Histories) -> F32:
        """Scores of every catalogue item: [B, n] float32; items without enough interactions get -inf."""
        scores = np.full((len(histories), self._n_items), -np.inf, np.float32)
        scores[:, self.kept] = votes(histories, self._n_items)[:, self.kept] @ self.weights
        return scores


class ItemKnn:
    """Item neighbours by cosine over the users who had both, with a history's votes decaying by position.

    Of a user the newest `length` interactions count, so that one who had everything costs no square of it.
    """

    NEIGHBOURS = 100
    PRODUCTS = 1 << 24
    """Pairs of interactions of one user that are added up at once, which bounds the cosines of a block."""

    def __init__(self, log: Log, neighbours: int = NEIGHBOURS, length: int = 5 * HISTORY_LENGTH) -> None:
        x = incidence(_newest(log, length))
        norm = np.sqrt(np.asarray(x.sum(axis=0)).ravel())
        x = (x @ sparse.diags(1 / np.maximum(norm, 1))).tocsr()
        transposed = x.T.tocsr()
        # Cut by what a block costs: rows of equal number, as many as could all be full, were quadratic in the items.
        products = np.cumsum(transposed.astype(bool) @ np.diff(x.indptr))
        cuts = _cuts(products, self.PRODUCTS)
        blocks = [_largest(transposed[start:end] @ x, start, neighbours) for start, end in pairwise(cuts)]
        self.weights = sparse.vstack(blocks).tocsr()

    def score(self, histories: Histories) -> F32:
        """Scores of every catalogue item: [B, n] float32; 0 for what is no neighbour of the history."""
        scores: F32 = (votes(histories, self.weights.shape[0]) @ self.weights).toarray()
        return scores


class Ials:
    """Implicit ALS (Hu et al., ICDM 2008) by the `implicit` package; a user's factors follow from a history.

    Regularizations of .01 to 20 are alike on MovieLens 1M, leave one out (recall@10 .099 to .103, error .004), 30 and
    alpha 10 are lower (.094). Folding in the newest HISTORY_LENGTH gives .101 where the whole history gives .098.
    """

    def __init__(
        self,
        log: Log,
        threads: int,
        seed: int,
        factors: int = 64,
        regularization: float = 10.0,
        alpha: float = 1.0,
        iterations: int = 15,
    ) -> None:
        from implicit.cpu.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits

        self._n_items = len(log.catalogue)
        with threadpool_limits(1, "blas"):  # its own threads and BLAS's get in each other's way
            self._model: Any = AlternatingLeastSquares(
                factors, regularization, alpha, iterations=iterations, num_threads=threads, random_state=seed
            )
            self._model.fit(incidence(log), show_progress=False)

    @staticmethod
    def installed() -> bool:
        """Whether the package is there."""
        return importlib.util.find_spec("implicit") is not None

    def score(self, histories: Histories) -> F32:
        """Scores of every catalogue item: [B, n] float32."""
        users = self._model.recalculate_user(np.arange(len(histories)), votes(histories, self._n_items, decay=1.0))
        scores: F32 = users @ self._model.item_factors.T
        return scores


def _newest(log: Log, length: int) -> Log:
    """The `length` newest events of each user."""
    order, offsets = log.by_user
    last = np.repeat(offsets[1:], np.diff(offsets))
    kept: I64 = order[last - np.arange(len(log)) <= length]
    return log[np.sort(kept)]


def _cuts(total: I64, most: int) -> list[int]:
    """Where to cut rows whose costs add up to `total` [n], so that no part of several rows costs more than `most`."""
    cuts = [0]
    while cuts[-1] < len(total):
        spent = total[cuts[-1] - 1] if cuts[-1] else 0
        cuts.append(max(int(np.searchsorted(total, spent + most, side="right")), cuts[-1] + 1))
    return cuts


def _largest(weights: sparse.csr_matrix, start: int, k: int) -> sparse.csr_matrix:
    """The k largest entries of each row, without those of row r in column start + r."""
    entries = weights.tocoo()
    off = entries.row + start != entries.col
    row, col, value = entries.row[off], entries.col[off], entries.data[off]
    order = np.lexsort((-value, row))
    row, col, value = row[order], col[order], value[order]
    kept = np.arange(len(row)) - np.searchsorted(row, row) < k
    return sparse.csr_matrix((value[kept], (row[kept], col[kept])), shape=weights.shape)
