"""Softmax over one positive and corrected mixed negatives.

Negatives are drawn half from the batch's own targets, half uniformly from the catalogue; each logit is corrected by
the log of the times that item is expected among them (Yi et al., "Sampling-bias-corrected neural modeling", RecSys
2019; Yang et al., "Mixed negative sampling", WWW 2020).

The gradient is computed with the loss, some rows at a time, so that no [P, N] array leaves the cache.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ROWS = 512
"""Users whose logits are held at once: 2 MiB of float32 against 1,024 negatives."""

HIDDEN = -1e9
"""The logit of a negative that is the target; finite, so that it times 0 is 0."""


def corrected_softmax(
    users_PD: Tensor,
    targets_P: Tensor,
    items_ND: Tensor,
    negatives_N: Tensor,
    expected_N: Tensor,
    positives_PD: Tensor,
    temperature: Tensor,
    weights_P: Tensor,
) -> Tensor:
    """Weighted mean cross entropy of each user's target against shared negatives; one that is the target is masked."""
    shares_P = weights_P / weights_P.sum().clamp(min=1e-12)
    arguments = (users_PD, positives_PD, items_ND, 1 / temperature, -expected_N.log(), targets_P, negatives_N, shares_P)
    loss: Tensor = _Softmax.apply(*arguments)
    return loss


class _Softmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        users_PD: Tensor,
        positives_PD: Tensor,
        items_ND: Tensor,
        scale: Tensor,
        offset_N: Tensor,
        targets_P: Tensor,
        negatives_N: Tensor,
        shares_P: Tensor,
    ) -> Tensor:
        """The weighted mean loss; keeps the gradients of users, positives, items and scale."""
        count = len(users_PD)
        for_users, for_positives = torch.empty_like(users_PD), torch.empty_like(positives_PD)
        for_items, for_scale, loss = torch.zeros_like(items_ND), torch.zeros_like(scale), torch.zeros_like(scale)
        for start in range(0, count, ROWS):
            rows = slice(start, start + ROWS)
            users, positives = users_PD[rows], positives_PD[rows]
            likeness, own = users @ items_ND.T, (users * positives).sum(1)
            logits = likeness * scale + offset_N
            logits.masked_fill_(targets_P[rows, None] == negatives_N, HIDDEN)
            target = own * scale
            highest = torch.maximum(logits.max(1).values, target)
            share, own_share = logits.sub_(highest[:, None]).exp_(), (target - highest).exp()
            total = share.sum(1) + own_share
            weight = shares_P[rows]
            loss += ((total.log() + highest - target) * weight).sum()
            share.mul_((weight / total)[:, None])
            own_share = (own_share / total - 1) * weight
            for_scale += (share * likeness).sum() + (own_share * own).sum()
            for_users[rows] = (share @ items_ND + own_share[:, None] * positives) * scale
            for_positives[rows] = own_share[:, None] * users * scale
            for_items.addmm_(share.T, users)
        ctx.save_for_backward(for_users, for_positives, for_items * scale, for_scale)
        return loss

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        """The kept gradients times the outer one."""
        return (*(kept * outer[0] for kept in ctx.saved_tensors), None, None, None, None)
