"""The searchable item embeddings of one generation: exact, by inner product.

Scores of all items are computed with one byte a number, which is nearly right and fast; how nearly is known, so that
what may be among the best is a short list, and that list is scored again as it is.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch

from recsys.kernels import keys, rounding, search
from recsys.kernels.compiled import plain
from recsys.kernels.sources import score
from recsys.types import F32, I8, I32, PAD, Bool

CELLS = 1 << 20
"""Scores held at once: 4 MiB of int32, ten users over 100,000 items; they are read twice while the cache has them."""

BLOCKS = 2_048
"""Of items, the best score of each is looked at: the bound is what k of these reach."""

ROUNDING = 1e-6
"""Two ways of computing one inner product differ by less than this share of both norms."""

TINY = 1e-30
"""Stands for the largest number where all are 0."""

WORD = 4
"""Bytes that are multiplied together; torch 2.13 takes a column alone for a row, and gives nonsense."""

NONE: I32 = np.zeros(0, np.int32)


class ExactIndex:
    """Top-k by float32 inner product over all items that may be shown."""

    def __init__(self, embeddings: F32, available: Bool, table: I8 | None = None) -> None:
        """table: `rounded(embeddings)`, mapped from a generation so that workers share it; without, it is made here.

        Whatever stands in it, what is found is right: how far it is off is measured. ValueError of NaN, and of a table
        of another shape.
        """
        self._items = np.asarray(embeddings)
        self._hidden = np.flatnonzero(~np.asarray(available)).astype(np.int32)
        self._nothing = np.zeros((0, self._items.shape[1]), np.float32)  # behind the items: as where some were put
        table = rounded(embeddings) if table is None else table
        if table.shape != (len(embeddings), width(embeddings.shape[1])):
            raise ValueError(f"The table of bytes is {list(table.shape)}, the embeddings are {list(embeddings.shape)}.")
        self._step, self._error = _step(embeddings), error(embeddings, table)
        with warnings.catch_warnings():
            # The table is mapped read-only so that processes share it; nothing here writes to it.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            self._bytes = torch.from_numpy(np.asarray(table))

    def search(self, users: F32, k: int) -> I32:
        """The k best rows for users [B, d], best first: [B, k] int32, PAD past the end of the catalogue."""
        return self.scored(users, k)[0]

    def scored(self, users: F32, k: int, hidden: I32 = NONE, shown: I32 = NONE) -> tuple[I32, F32]:
        """The k best rows for users [B, d], best first, and their scores: both [B, k], PAD and -inf past the end.

        hidden, shown: rows that may not, and may, be shown against what was said when the index was made.
        """
        found, best = np.full((len(users), k), PAD, np.int32), np.full((len(users), k), -np.inf, np.float32)
        away = self._away(hidden, shown)
        count = min(k, len(self._items) - len(away))
        rows = max(1, CELLS // max(len(self._items), 1))
        for start in range(0, len(users) if count else 0, rows):
            some = plain(users[start : start + rows])
            listed, counts = self._shortlist(some, count, away)
            for query, (items, length) in enumerate(zip(listed, counts.tolist(), strict=True), start):
                scores = np.empty((1, length), np.float32)
                user = some[query - start : query - start + 1]
                score(user, self._items, NONE, self._nothing, items[None, :length], scores)
                order = keys.best(scores[0], np.arange(length), count)
                found[query, :count], best[query, :count] = items[order], scores[0, order]
        return found, best

    def count_above(self, users: F32, scores: F32, hidden: I32 = NONE, shown: I32 = NONE) -> I32:
        """How many rows that may be shown score higher than `scores` [B] for users [B, d]: [B] int32."""
        away, above = self._away(hidden, shown), np.zeros(len(users), np.int32)
        everything = np.arange(len(self._items), dtype=np.int32)[None]
        for row in range(len(users)):
            all_scores = np.empty(everything.shape, np.float32)
            score(plain(users[row : row + 1]), self._items, NONE, self._nothing, everything, all_scores)
            all_scores[0, away] = -np.inf
            above[row] = int((all_scores > scores[row]).sum())
        return above

    @torch.inference_mode()
    def _shortlist(self, users: F32, count: int, away: I32) -> tuple[I32, np.ndarray]:
        """Rows [B, n], of which the first so many of each user hold the `count` best."""
        exact = users.astype(np.float64)
        steps = np.maximum(np.abs(exact).max(axis=1, keepdims=True), TINY) / 127
        asked = np.rint(exact / steps).astype(np.int8)
        rest = np.linalg.norm(exact - asked * steps, axis=1)
        # |q.x - q'.x'| <= |q| |x - x'| + |q - q'| |x'|, and both the bound and a row may be off by as much.
        norms = np.linalg.norm(exact, axis=1)
        error = norms * (self._error[0] + ROUNDING * self._error[1]) + rest * self._error[1]
        margins = np.ceil(2 * error / (steps[:, 0] * self._step)).astype(np.int64) + 1
        wide = np.zeros((len(users), self._bytes.shape[1]), np.int8)
        wide[:, : users.shape[1]] = asked
        scores = torch._int_mm(torch.from_numpy(wide), self._bytes.T).numpy()
        scores[:, away] = search.LEAST
        listed, counts = np.empty(scores.shape, np.int32), np.empty(len(users), np.int64)
        blocks = min(max(BLOCKS, 2 * count), scores.shape[1])
        search.shortlist(scores, count, margins, blocks, listed, counts)
        return listed, counts

    def _away(self, hidden: I32, shown: I32) -> I32:
        """Rows that may not be shown."""
        if not len(hidden) and not len(shown):
            return self._hidden
        return np.setdiff1d(np.union1d(self._hidden, hidden), shown).astype(np.int32)


def rounded(embeddings: F32) -> I8:
    """Embeddings [n, d] as bytes: [n, W] int8, d padded with zeros to a whole number of words. ValueError of NaN."""
    table = np.zeros((len(embeddings), width(embeddings.shape[1])), np.int8)
    rounding.fill(np.asarray(embeddings), _step(embeddings), table)
    return table


def width(dim: int) -> int:
    """Bytes a row of `rounded` has."""
    return -(-dim // WORD) * WORD


def error(embeddings: F32, table: I8) -> tuple[float, float]:
    """How far a row of bytes is from its embedding, and how long one is, at most."""
    off, long = rounding.errors(np.asarray(embeddings), np.asarray(table), _step(embeddings))
    return float(off), float(long)


def is_rounded(embeddings: F32, table: I8) -> bool:
    """Whether each number of the table is within half a step of its embedding's; of others the search would be slow."""
    furthest = _step(embeddings) * embeddings.shape[1] ** 0.5 / 2
    return bool(error(embeddings, table)[0] <= furthest * (1 + ROUNDING))


def _step(embeddings: F32) -> float:
    """What one step of a byte stands for."""
    most = float(rounding.largest(np.asarray(embeddings)))
    if np.isnan(most):
        raise ValueError("An embedding is not finite.")
    return max(most, TINY) / 127
