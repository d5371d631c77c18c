"""Softmax over one positive and corrected mixed negatives.

Negatives are drawn half from the batch's own targets, half uniformly from the catalogue; each logit is corrected by
the log of the times that item is expected among them (Yi et al., "Sampling-bias-corrected neural modeling", RecSys
2019; Yang et al., "Mixed negative sampling", WWW 2020).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def corrected_softmax(
    users_PD: Tensor,
    targets_P: Tensor,
    items_ND: Tensor,
    negatives_N: Tensor,
    expected_N: Tensor,
    positives_PD: Tensor,
    temperature: Tensor,
) -> Tensor:
    """Mean cross entropy of each user's target against shared negatives; a negative that is the target is masked."""
    positive = (users_PD * positives_PD).sum(-1, keepdim=True) / temperature
    negative = users_PD @ items_ND.T / temperature - expected_N.log()
    negative = negative.masked_fill(targets_P[:, None] == negatives_N, -torch.inf)
    logits = torch.cat([positive, negative], dim=1)
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))
