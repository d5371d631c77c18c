"""Compute the loss of the towers (the user and item networks) and its gradients for a batch of crops of histories.

The loss is a softmax of the taken item against drawn negatives: other items, half from the batch's own targets, half
uniformly from the catalogue. Each logit is corrected by the log of the number of times that its item is expected among
them (Yi et al., "Sampling-bias-corrected neural modeling", RecSys 2019; Yang et al., "Mixed negative sampling", WWW
2020). On a CPU the batch is split into parts, one for each thread: on two cores a step takes 40 ms in place of 65 ms.
"""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from itertools import starmap
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from recsys.model.towers import EmbeddedHistory, Towers
from training.device import mixed_precision
from training.encode.interaction_log import Log
from training.fit.crops import Batch
from training.processes import process_group

ROWS = 512
"""Users whose logits are computed at once: 2 MiB of float32 against 1,024 negatives stay in the cache. For 1,600 users
loss and gradient take 18 ms of one core, and 40 ms in one piece."""

MASKED = -1e9
"""The logit of a masked negative; finite, so that its product with 0 is 0."""


class Negatives(NamedTuple):
    """The negatives of a batch. items: [N] rows. embeddings: [N, d]. expected: [N], times that each is expected.

    begins: [N], the time of each item's first event.
    """

    items: Tensor
    embeddings: Tensor
    expected: Tensor
    begins: Tensor


def corrected_softmax(
    users_PD: Tensor,
    positives_PD: Tensor,
    targets_P: Tensor,
    times_P: Tensor,
    weights_P: Tensor,
    negatives: Negatives,
    temperature: Tensor,
) -> Tensor:
    """Weighted mean cross entropy of each user's target. Masked are a negative that is the target, and items whose
    first event is later: users could not take them yet.

    positives_PD: the embeddings of the targets, whose item rows are targets_P, at times_P.
    """
    correction_N = -negatives.expected.log()

    def summed(users: Tensor, positives: Tensor, targets: Tensor, times: Tensor, weights: Tensor) -> Tensor:
        own = (users * positives).sum(1, keepdim=True) / temperature
        others = torch.addmm(correction_N, users / temperature, negatives.embeddings.T)
        masked = (targets[:, None] == negatives.items) | (times[:, None] < negatives.begins)
        others = others.masked_fill(masked, MASKED)
        place = torch.zeros(len(users), dtype=torch.long, device=users.device)
        return F.cross_entropy(torch.cat([own, others], 1), place, reduction="none") @ weights

    parts = zip(*(rows.split(ROWS) for rows in (users_PD, positives_PD, targets_P, times_P, weights_P)), strict=True)
    return torch.stack(list(starmap(summed, parts))).sum() / weights_P.sum().clamp(min=1e-12)


PARTS = 2
"""Parts of a batch. On two cores a step of MovieLens 1M takes 65 ms on one thread, 56 to 69 ms with two threads inside
each operator, 40 ms with two halves of the batch."""

MINIMUM_EVENTS = 800
"""Events to predict from which a batch is split: with fewer, two threads slow each other down. On two cores a step of
150 events takes 16 ms on one thread and 24 ms on two; 600 events 44 and 42 ms, 2,500 events 194 and 121 ms."""


class Gradients:
    """Computes the gradients of the towers' weights.

    The gradients of the parts are added in the order of the parts, not in the order in which threads end. So the same
    seed gives the same bits on any number of cores. On several ranks each adds the gradients of its crops, weighted as
    parts are. DistributedDataParallel would not do: it reduces in hooks that `autograd.grad` does not call, and NCCL
    adds no sparse tensors.
    """

    def __init__(self, towers: Towers, log: Log, negatives: int, device: torch.device) -> None:
        self._towers, self._device = towers, device
        self._weights = [*towers.user.parameters(), towers.log_temperature]
        self._content = torch.from_numpy(log.catalogue.content).long().to(device)
        counts = np.bincount(log.items[log.grades > 0], minlength=len(log.catalogue))
        drawn = counts / max(counts.sum(), 1) + 1 / max((counts > 0).sum(), 1)
        negatives = process_group.share(negatives) * process_group.world_size()
        self._expected = torch.from_numpy(process_group.broadcast(negatives * drawn)).float().to(device)
        begins = np.full(len(log.catalogue), np.inf)
        np.minimum.at(begins, log.items, log.times)
        self._begins = torch.from_numpy(process_group.broadcast(begins)).to(device)
        self._threads = ThreadPoolExecutor(min(PARTS, torch.get_num_threads()), "tandem-gradients", one_thread_each)

    def add(self, batch: Batch) -> float:
        """Set the gradients of the batch's mean loss; the loss."""
        embeddings = self._towers.item(batch.items, self._content[batch.items], batch.id_shown)
        leaf = embeddings.detach().requires_grad_()
        expected_N, begins_N = self._expected[batch.negatives], self._begins[batch.negatives]
        total = process_group.total(float(batch.weights.sum()))
        parts = PARTS if self._device.type == "cpu" and len(batch.weights) >= MINIMUM_EVENTS else 1

        def of_part(first: int) -> tuple[float, tuple[Tensor | None, ...]]:
            part = batch.part(first, parts)
            loss = _loss(self._towers, part, leaf, expected_N, begins_N) * (float(part.weights.sum()) / total)
            return float(loss.detach()), torch.autograd.grad(loss, [leaf, *self._weights], allow_unused=True)

        found = list(self._threads.map(of_part, range(parts)))
        of_items, *of_weights = (_sum(each) for each in zip(*(gradients for _, gradients in found), strict=True))
        for weight, gradient in zip(self._weights, of_weights, strict=True):
            weight.grad = gradient
        process_group.add_up([weight.grad for weight in self._weights if weight.grad is not None])
        embeddings.backward(of_items)
        for table in (self._towers.item.ids.weight, self._towers.item.content.weight):
            table.grad = _of_all_ranks(table.grad)
        return process_group.total(sum(loss for loss, _ in found))

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()


def one_thread_each() -> None:
    """Run each operator of a thread of the pool on that thread alone."""
    torch.set_num_threads(1)


def _of_all_ranks(gradient: Tensor | None) -> Tensor | None:
    """The sparse gradient of a table, with the rows of all ranks."""
    if gradient is None or process_group.world_size() == 1:
        return gradient
    own = gradient.coalesce()
    rows, values = process_group.gathered(own.indices()[0]), process_group.gathered(own.values())
    return torch.sparse_coo_tensor(rows[None], values, own.shape, check_invariants=False)


def _sum(parts: tuple[Tensor | None, ...]) -> Tensor | None:
    found = [part for part in parts if part is not None]
    return functools.reduce(torch.add, found) if found else None


def _loss(towers: Towers, batch: Batch, embeddings: Tensor, expected_N: Tensor, begins_N: Tensor) -> Tensor:
    """Weighted mean loss of crops; embeddings: [W, d], of `batch.items`."""
    rows, real, gaps = batch.rows, batch.real, batch.gaps
    # F.embedding, not an index: the gradient of an index on several threads adds in an order of its own each time.
    x_BLD = F.embedding(batch.lookup[: rows.numel()], embeddings).unflatten(0, rows.shape)
    past = EmbeddedHistory(x_BLD[:, :-1] * real[:, :-1, None], real[:, :-1], batch.types[:, :-1], gaps[:, :-1])
    with mixed_precision(rows.device):
        users = towers.user.every_prefix(past, gaps[:, 1:], batch.context[:, 1:])
    negatives = F.embedding(batch.lookup[rows.numel() :], embeddings)
    return corrected_softmax(
        users_PD=users[batch.predicted].float(),
        positives_PD=x_BLD[:, 1:][batch.predicted],
        targets_P=rows[:, 1:][batch.predicted],
        times_P=batch.times[:, 1:][batch.predicted],
        weights_P=batch.weights,
        negatives=Negatives(batch.negatives, negatives, expected_N, begins_N),
        temperature=towers.temperature,
    )
