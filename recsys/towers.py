"""The two encoders. Knows no store and no serving: arrays in, arrays out.

The item tower turns an id and content into an embedding; an id it never trained on leaves the content alone. The
user tower encodes what a user did, not who they are: averages of the history's item embeddings at several decays, so
a new user and a new click work at once and the state updates in O(d) an event.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from recsys.spec import NO_TOKEN
from recsys.types import F32, I32, PAD

DECAYS = (0.0, 0.6, 0.9, 0.98)
"""Weight kept by each step back in the history; 0 is the newest item alone."""


class ItemTower(nn.Module):
    """Item embedding from an id row and content tokens: L2-normalised, [n, d]."""

    def __init__(self, items: int, tokens: int, dim: int) -> None:
        super().__init__()
        self.ids = nn.Embedding(items, dim)
        self.content = nn.Embedding(tokens, dim, padding_idx=NO_TOKEN)
        nn.init.normal_(self.ids.weight, std=0.05)
        with torch.no_grad():
            self.content.weight.normal_(std=0.05)[NO_TOKEN] = 0

    def forward(self, rows: Tensor, content: Tensor, known: Tensor | None = None) -> Tensor:
        """rows [n] int64, content [n, C] int64, known [n] bool (False drops the id): [n, d]."""
        ids = self.ids(rows)
        if known is not None:
            ids = ids * known[:, None]
        return F.normalize(ids + self.from_content(content), dim=-1)

    def from_content(self, content: Tensor) -> Tensor:
        """Unnormalised content part, the mean of the tokens: [n, d]."""
        count = (content != NO_TOKEN).sum(1, keepdim=True).clamp(min=1)
        mean: Tensor = self.content(content).sum(1) / count
        return mean


class UserTower(nn.Module):
    """User embedding from the item embeddings of a history, newest last, padded on the left."""

    decay: Tensor

    def __init__(self, dim: int, hidden: int = 256, dropout: float = 0.2) -> None:
        super().__init__()
        wide = dim * len(DECAYS)
        self.skip = nn.Linear(wide, dim)
        self.mlp = nn.Sequential(nn.Linear(wide, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim))
        self.nobody = nn.Parameter(torch.randn(dim) * 0.05)
        self.register_buffer("decay", torch.tensor(DECAYS), persistent=False)

    def forward(self, x_BLD: Tensor, mask_BL: Tensor) -> Tensor:
        """Embedding after the whole history: [B, D]; an empty history gives the learned embedding of nobody."""
        steps = torch.arange(x_BLD.shape[1] - 1, -1, -1)
        weight_NBL = (self.decay[:, None] ** steps)[:, None, :] * mask_BL
        weight_NBL = weight_NBL / weight_NBL.sum(-1, keepdim=True).clamp(min=1e-9)
        state_BND = torch.einsum("nbl,bld->bnd", weight_NBL, x_BLD)
        return self._head(state_BND.flatten(1), mask_BL.any(-1))

    def every_prefix(self, x_BLD: Tensor, mask_BL: Tensor) -> Tensor:
        """Embedding after each prefix of the history, all in one pass: [B, L, D]."""
        length = x_BLD.shape[1]
        steps = torch.arange(length)[:, None] - torch.arange(length)
        weight_NLL = torch.where(steps >= 0, self.decay[:, None, None] ** steps.clamp(min=0), 0.0)
        total_NBL = torch.einsum("nij,bj->nbi", weight_NLL, mask_BL.to(x_BLD.dtype))
        sum_NBLD = torch.einsum("nij,bjd->nbid", weight_NLL, x_BLD * mask_BL[..., None])
        state_NBLD = sum_NBLD / total_NBL.clamp(min=1e-9)[..., None]
        state_BLW = state_NBLD.permute(1, 2, 0, 3).flatten(2)
        return self._head(state_BLW, mask_BL.cumsum(-1) > 0)

    def _head(self, state: Tensor, somebody: Tensor) -> Tensor:
        user = torch.where(somebody[..., None], self.skip(state) + self.mlp(state), self.nobody)
        return F.normalize(user, dim=-1)


class Towers(nn.Module):
    """Both towers and the temperature they were trained with."""

    def __init__(self, items: int, tokens: int, dim: int = 64, hidden: int = 256, dropout: float = 0.2) -> None:
        super().__init__()
        self.item = ItemTower(items, tokens, dim)
        self.user = UserTower(dim, hidden, dropout)
        self.log_temperature = nn.Parameter(torch.tensor(0.06).log())

    @property
    def temperature(self) -> Tensor:
        """Clamped: below .02 a few negatives carry the whole gradient, above .2 nothing separates."""
        return self.log_temperature.exp().clamp(0.02, 0.2)

    def save(self, path: Path) -> None:
        """Write the weights as safetensors."""
        save_file({name: tensor.contiguous() for name, tensor in self.state_dict().items()}, path)

    @classmethod
    def load(cls, path: Path) -> Towers:
        """Read weights that `save` wrote; sizes follow from the tensors."""
        state = load_file(path)
        items, dim = state["item.ids.weight"].shape
        towers = cls(items, len(state["item.content.weight"]), dim, len(state["user.mlp.0.weight"]))
        towers.load_state_dict(state)
        return towers.eval()


class UserEncoder:
    """The user tower in service: histories of item rows in, user embeddings out."""

    def __init__(self, tower: UserTower, embeddings: F32) -> None:
        self._tower = tower.eval()
        self._embeddings = embeddings

    @torch.inference_mode()
    def encode(self, items: I32) -> F32:
        """items [B, H] int32 rows, PAD where there is none: [B, d] float32, L2-normalised."""
        mask = items != PAD
        x = self._embeddings[items.clip(min=0)] * mask[..., None]
        users: F32 = self._tower(torch.from_numpy(x), torch.from_numpy(mask)).numpy()
        return users
