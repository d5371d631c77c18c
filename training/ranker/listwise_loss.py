"""Listwise loss that trains the ranker, or a fitted simple order: softmax cross entropy over the candidates of a query.

A query is one user at one moment, with candidate items of which the user took some.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

MASKED = -1e9
"""The score of padding and of seen items; finite, so that its product with 0 is 0."""


def listwise_loss(scores_QK: Tensor, answers_QK: Tensor, real_QK: Tensor, weights_Q: Tensor) -> Tensor:
    """Weighted mean cross entropy of each query's answers against all its candidates.

    answers_QK: the items that the user took; they share the weight of the query. real_QK: False at masked candidates.
    """
    shares_QK = answers_QK / answers_QK.sum(1, keepdim=True)
    losses_Q = F.cross_entropy(scores_QK.masked_fill(~real_QK, MASKED), shares_QK, reduction="none")
    return (losses_Q * weights_Q).sum() / weights_Q.sum()
