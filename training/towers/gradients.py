"""The gradients of a batch of crops."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from recsys.model.towers import EmbeddedHistory, Towers
from training.data.interaction_log import Log
from training.device import mixed_precision
from training.towers.crops import Batch
from training.towers.loss import corrected_softmax

SHARES = 2
"""Parts of a batch, one a thread. On two cores a step of MovieLens 1M takes 65 ms on one thread, 56 to 69 with two
threads inside each operator, 40 with two halves of the batch, 45 with four quarters (without
dropout, which the others had)."""

ENOUGH = 800
"""Events to predict from which a batch is shared out: two threads hinder each other at fewer. On two cores a step of
the sample takes 16 ms on one and 24 on two threads below 150, as most are; 44 and 42 from 600 on, 194 and 121 from
2,500 on."""


class Gradients:
    """Computes the gradients of the towers' weights, on a CPU in shares of a batch, one a thread.

    Shares are added in their order, not in the order in which threads end: the same seed gives the same bits on any
    number of cores.
    """

    def __init__(self, towers: Towers, log: Log, negatives: int, device: torch.device) -> None:
        self._towers, self._device = towers, device
        self._weights = [*towers.user.parameters(), towers.log_temperature]
        self._content = torch.from_numpy(log.catalogue.content).long().to(device)
        counts = np.bincount(log.items[log.grades > 0], minlength=len(log.catalogue))
        drawn = counts / max(counts.sum(), 1) + 1 / max((counts > 0).sum(), 1)
        self._expected = torch.from_numpy(negatives * drawn).float().to(device)
        self._threads = ThreadPoolExecutor(min(SHARES, torch.get_num_threads()), "tandem-gradients", one_thread_each)

    def add(self, batch: Batch) -> float:
        """Set the gradients of the batch's mean loss; the loss."""
        embeddings = self._towers.item(batch.wanted, self._content[batch.wanted], batch.known)
        leaf = embeddings.detach().requires_grad_()
        expected_N = self._expected[batch.negatives]
        total = float(batch.weights.sum())
        shares = SHARES if self._device.type == "cpu" and len(batch.weights) >= ENOUGH else 1

        def share(first: int) -> tuple[float, tuple[Tensor | None, ...]] | None:
            part = batch.share(first, shares)
            if not len(part.weights):
                return None
            loss = _loss(self._towers, part, leaf, expected_N) * (float(part.weights.sum()) / total)
            return float(loss.detach()), torch.autograd.grad(loss, [leaf, *self._weights], allow_unused=True)

        parts = [part for part in self._threads.map(share, range(shares)) if part is not None]
        for_items, *for_weights = (_sum(each) for each in zip(*(gradients for _, gradients in parts), strict=True))
        for weight, gradient in zip(self._weights, for_weights, strict=True):
            weight.grad = gradient
        embeddings.backward(for_items)
        return sum(loss for loss, _ in parts)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()


def one_thread_each() -> None:
    """Run each operator of a thread of the pool on that thread alone."""
    torch.set_num_threads(1)


def _sum(parts: tuple[Tensor | None, ...]) -> Tensor | None:
    there = [part for part in parts if part is not None]
    return functools.reduce(torch.add, there) if there else None


def _loss(towers: Towers, batch: Batch, embeddings: Tensor, expected_N: Tensor) -> Tensor:
    """Weighted mean loss of crops whose wanted items have these embeddings [W, d]."""
    rows, real, gaps = batch.rows, batch.real, batch.gaps
    # F.embedding, not an index: the gradient of an index on several threads adds in an order of its own each time.
    x_BLD = F.embedding(batch.where[: rows.numel()], embeddings).unflatten(0, rows.shape)
    past = EmbeddedHistory(x_BLD[:, :-1] * real[:, :-1, None], real[:, :-1], batch.types[:, :-1], gaps[:, :-1])
    with mixed_precision(rows.device):
        users = towers.user.every_prefix(past, gaps[:, 1:], batch.context[:, 1:])
    return corrected_softmax(
        users[batch.predicted].float(),
        rows[:, 1:][batch.predicted],
        F.embedding(batch.where[rows.numel() :], embeddings),
        batch.negatives,
        expected_N,
        x_BLD[:, 1:][batch.predicted],
        towers.temperature,
        batch.weights,
    )
