"""How the towers' weights move. Knows towers and gradients, no data."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from recsys.towers import Towers

TABLES = ("item.ids.weight", "item.content.weight")
"""Parameters of which a batch touches a few rows: a dense optimiser would make each step cost the whole catalogue."""

WARM_UP = 200
"""Steps over which the learning rate rises, or a tenth of all."""


class Optimizers:
    """AdamW for the dense weights, and Adam that moves only the touched rows of the tables; one rate, warmed up."""

    def __init__(self, towers: Towers, learning_rate: float, steps: int) -> None:
        named = dict(towers.named_parameters())
        self._tables = [named[name] for name in TABLES]
        self._dense = [parameter for name, parameter in named.items() if name not in TABLES]
        self._both = (
            torch.optim.AdamW(self._dense, learning_rate, weight_decay=1e-4, fused=True),
            torch.optim.SparseAdam(self._tables, learning_rate),
        )
        self._rate, self._warm = learning_rate, max(1, min(WARM_UP, steps // 10))
        self._done = 0

    def forget(self) -> None:
        """No gradients."""
        for optimizer in self._both:
            optimizer.zero_grad()

    def step(self) -> None:
        """Move by the gradients."""
        self._done += 1
        for optimizer in self._both:
            optimizer.param_groups[0]["lr"] = self._rate * min(1.0, self._done / self._warm)
        clip_grad_norm_(self._dense, 1.0)
        for optimizer in self._both:
            optimizer.step()

    def tensors(self) -> dict[str, Tensor]:
        """What they remember of every weight."""
        return {
            f"{which}.{parameter}.{key}": torch.as_tensor(value)
            for which, optimizer in enumerate(self._both)
            for parameter, state in optimizer.state_dict()["state"].items()
            for key, value in state.items()
        }

    def load(self, tensors: dict[str, Tensor], done: int) -> None:
        """Remember it again."""
        self._done = done
        for which, optimizer in enumerate(self._both):
            state: dict[int, dict[str, Any]] = {}
            for name, value in tensors.items():
                owner, _, rest = name.partition(".")
                if owner == str(which):
                    parameter, _, key = rest.partition(".")
                    plain = which == 1 and key == "step"  # SparseAdam counts in a Python number
                    state.setdefault(int(parameter), {})[key] = int(value) if plain else value
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
