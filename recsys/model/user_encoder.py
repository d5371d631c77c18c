"""User encoder for serving: it turns users' past events into embeddings, by one compiled call of the trained network.

The network is the user tower. Its torch module spends most of a single query's time between its thirty operators
(measured 2026-12-01, tag `before-the-cut`).
"""

from __future__ import annotations

import copy
from functools import cache

import numpy as np
from torch import nn

from recsys.fresh_items.extended_column import table
from recsys.kernels import history_encoder as kernel
from recsys.kernels.jit import contiguous
from recsys.model.towers import DECAYS, UserTower
from recsys.types import CLOCK, CONTEXTS, F32, Histories


class UserEncoder:
    """Encodes histories with a copy of a tower's weights; later training does not change it."""

    def __init__(self, tower: UserTower, embeddings: F32) -> None:
        """embeddings: [n, d], the item embeddings of the rows that histories name."""
        if len(tower.contexts) > CONTEXTS:  # the kernel checks no bounds
            raise ValueError(f"The tower has {len(tower.contexts)} context columns; {CONTEXTS} is the most.")
        self._embeddings = table(embeddings)
        columns = [_weight(each) for each in tower.contexts]
        sizes = np.array([len(each) for each in columns], np.int64)
        contexts = np.zeros((len(columns), sizes.max(initial=0), len(tower.nobody)), np.float32)
        for column, weight in enumerate(columns):
            contexts[column, : len(weight)] = weight
        self._weights = kernel.InputWeights(
            types=_weight(tower.types),
            gaps=_weight(tower.gaps),
            waits=_weight(tower.waits),
            contexts=contexts,
            sizes=sizes,
            nobody=tower.nobody.detach().cpu().numpy().copy(),
            clock=CLOCK,
        )
        self._layers = kernel.Layers(
            first=np.ascontiguousarray(np.concatenate([_weight(tower.mlp[0]), _weight(tower.skip)]).T),
            first_bias=np.concatenate([_weight(tower.mlp[0], "bias"), _weight(tower.skip, "bias")]),
            second=np.ascontiguousarray(_weight(tower.mlp[2]).T),
            second_bias=_weight(tower.mlp[2], "bias"),
        )

    def over(self, embeddings: F32) -> UserEncoder:
        """The same weights for histories that name rows of other embeddings."""
        other: UserEncoder = copy.copy(self)
        other._embeddings = table(embeddings)
        return other

    def encode(self, histories: Histories) -> F32:
        """Embeddings of B users at the moments of their queries: [B, d] float32, L2-normalised.

        IndexError if a query has a context row that the tower lacks.
        """
        arrays = kernel.HistoryArrays(
            *(contiguous(histories.items), contiguous(histories.times), contiguous(histories.now)),
            *(contiguous(histories.types), contiguous(histories.context)),
        )
        users = np.empty((len(histories), len(self._layers.second_bias)), np.float32)
        decays = _decay_powers(arrays.items.shape[1])
        unknown = kernel.encode(self._embeddings, arrays, self._weights, self._layers, decays, users)
        if unknown >= 0:
            row_of_batch, column = divmod(unknown, len(self._weights.sizes))
            row, rows = histories.context[row_of_batch, CLOCK + column], self._weights.sizes[column]
            raise IndexError(f"Context column {column} has {rows} rows; the query names row {row}.")
        return users


def _weight(layer: nn.Module, name: str = "weight") -> F32:
    weight: F32 = layer.get_parameter(name).detach().cpu().numpy().copy()
    return weight


@cache
def _decay_powers(length: int) -> F32:
    """The weight of each place of a history at each decay: [N, L]."""
    return (np.array(DECAYS, np.float32)[:, None] ** np.arange(length - 1, -1, -1)).astype(np.float32)
