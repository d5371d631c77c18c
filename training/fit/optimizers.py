"""Optimizers of the towers (the user and item networks), their learning rate, and a moving average of the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from recsys.model.towers import Towers

TABLES = ("item.ids.weight", "item.content.weight")
"""Tables of which a batch reads a few rows. With a dense optimizer each step would update every row."""

WARM_UP = 200
"""Steps over which the learning rate rises; a tenth of all steps where that is less."""

AVERAGE_EVERY = 10
"""Steps between two updates of the average, because an update reads every row of the item tables."""

DECAY = 0.98
"""Share of the average that an update keeps; less in the first updates, whose weights are far from trained."""


class Optimizers:
    """AdamW for the dense weights and SparseAdam for the tables; the learning rate rises and is constant afterwards."""

    def __init__(self, towers: Towers, learning_rate: float, steps: int) -> None:
        named = dict(towers.named_parameters())
        self._dense = [parameter for name, parameter in named.items() if name not in TABLES]
        self._both = (
            torch.optim.AdamW(self._dense, learning_rate, weight_decay=1e-4, fused=True),
            torch.optim.SparseAdam([named[name] for name in TABLES], learning_rate),
        )
        warm = max(1, min(WARM_UP, steps // 10))
        self._rates = [LambdaLR(each, lambda done: min(1.0, (done + 1) / warm)) for each in self._both]
        self._parts: list[torch.optim.Optimizer | LambdaLR] = [*self._both, *self._rates]

    def zero_grad(self) -> None:
        """Delete the gradients of the last step."""
        for optimizer in self._both:
            optimizer.zero_grad()

    def step(self) -> None:
        """Update the weights by their gradients; the norm of the dense gradients is clipped."""
        clip_grad_norm_(self._dense, 1.0)
        for optimizer, rate in zip(self._both, self._rates, strict=True):
            optimizer.step()
            rate.step()

    def state_dict(self) -> list[dict[str, Any]]:
        """The state of each optimizer and of each learning rate, to go on from."""
        return [each.state_dict() for each in self._parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Restore a state that `state_dict` returned."""
        for part, state in zip(self._parts, states, strict=True):
            part.load_state_dict(state)


def averaged(model: nn.Module) -> AveragedModel:
    """A moving average of a model's weights, updated each AVERAGE_EVERY steps: the result of a training.

    With averaged weights the learning rate can stay constant, and training can stop when more epochs no longer help.
    On MovieLens 1M, leave one out, recall@10 after eighteen epochs is .3085, with a one-cycle schedule .3078.
    """
    return AveragedModel(model, multi_avg_fn=_moving_average)


@torch.no_grad()
def _moving_average(averages: Sequence[Tensor], weights: Sequence[Tensor], updates: Tensor | int) -> None:
    decay = min(DECAY, (1 + int(updates)) / (10 + int(updates)))
    for average, weight in zip(averages, weights, strict=True):
        average.lerp_(weight, 1 - decay)
