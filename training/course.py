"""The course of a training: one optimiser, one learning rate that rises and falls."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from training.watch import Progress, no_progress

SMOOTHING = 0.98


class Course:
    """AdamW over one cycle of `steps` steps."""

    def __init__(
        self,
        net: nn.Module,
        learning_rate: float,
        weight_decay: float,
        steps: int,
        progress: Progress = no_progress,
    ) -> None:
        self._net = net
        self._steps = max(1, steps)
        self._progress = progress
        self._optimizer = torch.optim.AdamW(net.parameters(), learning_rate, weight_decay=weight_decay, fused=True)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer,
            learning_rate,
            max(self._steps, 11),
            pct_start=0.1,  # divides by a tenth of them less one
        )
        self._done, self._mean = 0, 0.0

    def step(self, loss: Tensor) -> None:
        """Learn from one batch's loss."""
        self._optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(self._net.parameters(), 1.0)
        self._optimizer.step()
        self._schedule.step()
        self._done += 1
        now = float(loss.detach())
        self._mean = SMOOTHING * self._mean + (1 - SMOOTHING) * now if self._done > 1 else now
        share = self._done / self._steps
        self._progress(share, f"loss {self._mean:.3f}")
