"""Item encoder for serving: it embeds items that training did not see, from their categories and other columns.

It reads the embeddings of categories and columns from the trained item network (item tower).
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from recsys.model.towers import ItemTower
from recsys.types import F32, I32


class ItemEncoder:
    """Encodes content rows with the content embeddings of a trained item tower."""

    def __init__(self, content: Tensor) -> None:
        """content: [tokens, D], the tower's embeddings of content tokens."""
        self._tower = ItemTower(1, *content.shape).eval()
        self._tower.content.weight = nn.Parameter(content, requires_grad=False)

    @classmethod
    def load(cls, path: Path) -> ItemEncoder:
        """Read the content embeddings of weights that `Towers.save` wrote; the table of ids is not read."""
        with safe_open(path, "pt") as file:
            return cls(file.get_tensor("item.content.weight"))

    @torch.inference_mode()
    def encode(self, content: I32) -> F32:
        """Embeddings of content rows [n, C]: [n, D] float32, L2-normalised; zero for a row without tokens."""
        rows, unknown = torch.zeros(len(content), dtype=torch.long), torch.zeros(len(content), dtype=torch.bool)
        embeddings: F32 = self._tower(rows, torch.from_numpy(content).long(), unknown).numpy()
        return embeddings
