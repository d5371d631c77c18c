"""Neighbour tables of items, from which candidates are retrieved: the items that users take together with or after an
item.

The tables are co-visitation (up to ten steps after an item), followers (up to three steps) and EASE, a linear model.
All are counted from the log with sparse matrices, but for the one dense matrix of EASE. An engine counts the first two
in parts, which are ranges of items.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg
from scipy import sparse

from recsys.model.neighbour_tables import Neighbours
from recsys.types import F32, I32, I64, PAD, Histories
from training.encode.interaction_log import Log
from training.processes.engine import LOCAL, Engine

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


NEIGHBOURS = 128
"""Of an item, at most. Recall@200 of co-visitation on MovieLens 1M is .655 with 64, .683 with 128, .708 with all."""

CELLS = 1 << 25
"""Neighbours in a table, at most: 256 MiB. Above 262,144 items an item has fewer than NEIGHBOURS."""

COVISIT_SPAN, COVISIT_DECAY = 10, 0.8
"""Steps ahead in a user's sequence that count as following, and the factor of each further step."""

FOLLOW_SPAN, FOLLOW_DECAY = 3, 0.7
SHRINK = 0.5
"""Exponent of the popularity of both items in the denominator: 0 favours popular items, 1 rare ones."""

PAIRS = 1 << 24
"""Pairs of events counted at once: 400 MB with their indices."""

EASE_LIMIT = 10_000
"""Items above which EASE's matrix of items by items is too large, and the table is empty."""

EASE_MINIMUM = 5
EASE_REGULARIZATION = 300.0


def covisit_table(log: Log, engine: Engine = LOCAL) -> Neighbours:
    """The items that users take within COVISIT_SPAN steps after an item."""
    return followers(log, COVISIT_SPAN, COVISIT_DECAY, engine=engine)


def follow_table(log: Log, engine: Engine = LOCAL) -> Neighbours:
    """The items that users take within FOLLOW_SPAN steps after an item."""
    return followers(log, FOLLOW_SPAN, FOLLOW_DECAY, engine=engine)


def ease_table(log: Log) -> Neighbours:
    """The best neighbours by EASE; empty where more items than EASE_LIMIT have EASE_MINIMUM interactions."""
    n = len(log.catalogue)
    if (np.bincount(log.items, minlength=n) >= EASE_MINIMUM).sum() > EASE_LIMIT:
        return Neighbours.none(n)
    model = Ease(log, EASE_REGULARIZATION, EASE_MINIMUM)
    kept, weights = model.kept, model.weights
    width = min(NEIGHBOURS, len(kept), max(1, CELLS // n))
    rows, best = np.full((n, width), PAD, np.int32), np.zeros((n, width), np.float32)
    for row, item in enumerate(kept):
        order = np.argpartition(-weights[row], width - 1)[:width] if width else np.zeros(0, np.int64)
        order = order[np.argsort(-weights[row, order], kind="stable")]
        order = order[weights[row, order] > 0]
        rows[item, : len(order)], best[item, : len(order)] = kept[order], weights[row, order]
    return Neighbours(rows, best)


class _Touches(NamedTuple):
    """First touches of items in sessions, by user and time: their users, items and grades."""

    users: I32
    items: I64
    grades: F32

    def following(self, at: I64, span: int, decay: float) -> tuple[I64, I64, F32]:
        """The pairs (touch, later item) within `span` steps after the touches `at`, and their decayed grades."""
        source, target, weight = [], [], []
        for step in range(1, span + 1):
            near = at[at + step < len(self.items)]
            near = near[self.users[near + step] == self.users[near]]
            source.append(self.items[near])
            target.append(self.items[near + step])
            weight.append(self.grades[near + step] * np.float32(decay ** (step - 1)))
        return np.concatenate(source), np.concatenate(target), np.concatenate(weight)


class _Steps(NamedTuple):
    """The steps that are counted. by_item: touches in the order of their items. offsets: of the items in `by_item`.

    scale: of each item. width: neighbours of an item, at most.
    """

    touches: _Touches
    by_item: I64
    offsets: I64
    scale: F32
    span: int
    decay: float
    width: int

    def parts(self) -> list[range]:
        """Ranges of items: as many as have PAIRS pairs; one item alone may have more."""
        n, ranges, start = len(self.scale), list[range](), 0
        while start < n:
            end = int(np.searchsorted(self.offsets, self.offsets[start] + PAIRS // self.span, side="right")) - 1
            ranges.append(range(start, min(max(end, start + 1), n)))
            start = ranges[-1].stop
        return ranges


def followers(log: Log, span: int, decay: float, engine: Engine = LOCAL) -> Neighbours:
    """The items that follow each item most within `span` steps of a user's sequence, over the popularity of both.

    A step leads from one first touch of an item in a session to the next. It weighs the grade of the later touch.
    """
    n, graded = len(log.catalogue), log.grades > 0
    log, grades = log[graded], log.grades[graded]
    order, _ = log.by_user
    touches = _Touches(log.users[order], log.items[order].astype(np.int64), grades[order])
    popularity = np.bincount(log.items, minlength=n)
    steps = _Steps(
        touches=touches,
        by_item=np.argsort(touches.items, kind="stable"),
        offsets=np.concatenate([[0], np.cumsum(popularity)]),
        scale=(1 / (popularity + 10) ** SHRINK).astype(np.float32),
        span=span,
        decay=decay,
        width=min(NEIGHBOURS, max(1, CELLS // n)),
    )
    rows, best = np.full((n, steps.width), PAD, np.int32), np.zeros((n, steps.width), np.float32)
    parts = steps.parts()
    for items, found in zip(parts, engine.map_shared(_followers, steps, parts), strict=True):
        rows[items.start : items.stop], best[items.start : items.stop] = found
    return Neighbours(rows, best)


def _followers(steps: _Steps, items: range) -> tuple[I32, F32]:
    """The followers of some items, and their weights: two [items, width]."""
    at = steps.by_item[steps.offsets[items.start] : steps.offsets[items.stop]]
    source, target, weight = steps.touches.following(at, steps.span, steps.decay)
    block = sparse.csr_matrix((weight, (source - items.start, target)), shape=(len(items), len(steps.scale)))
    scaled = sparse.diags(steps.scale[items.start : items.stop]) @ block @ sparse.diags(steps.scale)
    return _prune(scaled.tocoo(), items.start, steps.width)


def _prune(weights: sparse.coo_matrix, first: int, k: int) -> tuple[I32, F32]:
    """The k largest entries of each row, largest first, without the entry of row r in column first + r."""
    off = weights.row + first != weights.col
    row, col, value = weights.row[off], weights.col[off], weights.data[off]
    order = np.lexsort((col, -value, row))
    row, col, value = row[order], col[order], value[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    keep = place < k
    rows = np.full((weights.shape[0], k), PAD, np.int32)
    best = np.zeros((weights.shape[0], k), np.float32)
    rows[row[keep], place[keep]] = col[keep]
    best[row[keep], place[keep]] = value[keep]
    return rows, best
