"""The searchable item embeddings of one generation: exact, by inner product."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from recsys.types import F32, I32, PAD, Bool

CELLS = 1 << 24
"""Scores held at once: 64 MiB of float32, sixteen users over a million items."""


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
        found = np.full((len(users), k), PAD, np.int32)
        shown = min(k, len(self._items) - len(self._hidden))
        rows = max(1, CELLS // max(len(self._items), 1))
        for start in range(0, len(users) if shown else 0, rows):
            chunk = slice(start, start + rows)
            scores = torch.from_numpy(users[chunk]) @ self._items.T
            scores[:, self._hidden] = -torch.inf
            found[chunk, :shown] = torch.topk(scores, shown, dim=1).indices.numpy()
        return found
