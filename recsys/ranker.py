"""The ranker: a small DCN-v2 over the shared features, trained listwise.

Wang et al., "DCN V2", WWW 2021: cross layers x_{l+1} = x_0 * (W x_l + b) + x_l beside an MLP.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from recsys import features
from recsys.generation import RANKER, GenerationFolder
from recsys.tables import ItemTables
from recsys.types import F32, PAD, Candidates, Histories

CROSS_LAYERS = 2
CHUNK = 16
"""Queries the net scores at once; a float32 net over 32 x 500 rows falls out of the cache and costs three times as
much a query."""


class RankerNet(nn.Module):
    """Features [..., F] to a score [...]; standardises with the mean and deviation it was trained with."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int = len(features.FEATURES), hidden: int = 64) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.cross = nn.ModuleList(nn.Linear(width, width) for _ in range(CROSS_LAYERS))
        self.deep = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.out = nn.Linear(width + hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of feature rows."""
        x0 = ((x - self.mean) / self.deviation).clamp(-5, 5)
        crossed = x0
        for layer in self.cross:
            crossed = x0 * layer(crossed) + crossed
        score: Tensor = self.out(torch.cat([crossed, self.deep(x0)], dim=-1)).squeeze(-1)
        return score

    def save(self, path: Path) -> None:
        """Write the weights as safetensors."""
        save_file(self.state_dict(), path)

    @classmethod
    def load(cls, path: Path) -> RankerNet:
        """Read weights that `save` wrote; sizes follow from the tensors."""
        state = load_file(path)
        net = cls(len(state["mean"]), len(state["deep.0.weight"]))
        net.load_state_dict(state)
        return net.eval()


class Ranker:
    """Scores candidates of one generation."""

    def __init__(self, net: RankerNet, tables: ItemTables) -> None:
        self._net = net.eval()
        self._tables = tables

    @classmethod
    def load(cls, folder: GenerationFolder) -> Ranker:
        """The ranker of a generation that `folder.verify` accepted."""
        return cls(RankerNet.load(folder.path / RANKER), folder.tables())

    @torch.inference_mode()
    def score(self, histories: Histories, candidates: Candidates) -> F32:
        """Ranker scores [B, K] float32, -inf where the candidate is PAD."""
        scores = np.empty(candidates.items.shape, np.float32)
        for start in range(0, len(candidates), CHUNK):
            chunk = slice(start, start + CHUNK)
            x = features.build(self._tables, histories.take(chunk), candidates.take(chunk))
            scores[chunk] = self._net(torch.from_numpy(x)).numpy()
        scores[candidates.items == PAD] = -np.inf
        return scores
