"""The searchable item embeddings of one generation: exact, by inner product."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from recsys.types import F32, I32, PAD, Bool

CELLS = 1 << 24
"""Scores held at once: 64 MiB of float32, sixteen users over a million items."""

ROUNDING = 1e-6
"""Two ways of computing one inner product of unit vectors differ by less."""

NONE: I32 = np.zeros(0, np.int32)


class ExactIndex:
    """Top-k by float32 inner product over all items that may be shown."""

    def __init__(self, embeddings: F32, available: Bool) -> None:
        with warnings.catch_warnings():
            # The table is mapped read-only so that processes share it; nothing here writes to it.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            self._items = torch.from_numpy(np.asarray(embeddings))
        self._hidden = torch.from_numpy(np.flatnonzero(~np.asarray(available)))

    @torch.inference_mode()
    def search(self, users: F32, k: int) -> I32:
        """The k best rows for users [B, d], best first: [B, k] int32, PAD past the end of the catalogue."""
        return self.scored(users, k)[0]

    @torch.inference_mode()
    def scored(self, users: F32, k: int, hidden: I32 = NONE, shown: I32 = NONE) -> tuple[I32, F32]:
        """The k best rows for users [B, d], best first, and their scores: both [B, k], PAD and -inf past the end.

        hidden, shown: rows that may not, and may, be shown against what was said when the index was made.
        """
        found, best = np.full((len(users), k), PAD, np.int32), np.full((len(users), k), -np.inf, np.float32)
        away = self._away(hidden, shown)
        count = min(k, len(self._items) - len(away))
        rows = max(1, CELLS // max(len(self._items), 1))
        for start in range(0, len(users) if count else 0, rows):
            chunk = slice(start, start + rows)
            scores = torch.from_numpy(users[chunk]) @ self._items.T
            scores[:, away] = -torch.inf
            top = torch.topk(scores, count, dim=1)
            found[chunk, :count], best[chunk, :count] = top.indices.numpy(), top.values.numpy()
        return found, best

    @torch.inference_mode()
    def count_above(self, users: F32, scores: F32, hidden: I32 = NONE, shown: I32 = NONE) -> I32:
        """How many rows that may be shown score higher than `scores` [B] for users [B, d]: [B] int32."""
        away, above = self._away(hidden, shown), np.zeros(len(users), np.int32)
        for row, user in enumerate(users):
            all_scores = self._items @ torch.from_numpy(user)
            all_scores[away] = -torch.inf
            # What is looked for was computed by itself: a product of another shape may round otherwise.
            above[row] = int((all_scores > float(scores[row]) + ROUNDING).sum())
        return above

    def _away(self, hidden: I32, shown: I32) -> torch.Tensor:
        """Rows that may not be shown."""
        if not len(hidden) and not len(shown):
            return self._hidden
        return torch.from_numpy(np.setdiff1d(np.union1d(self._hidden.numpy(), hidden), shown).astype(np.int64))
