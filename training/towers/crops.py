"""Runs of users' events, and the batches that towers train on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recsys.model import time_features
from recsys.types import F32, PAD, U8, Bool, Histories
from training.config import TowerConfig
from training.data.interaction_log import Log


class Crop(NamedTuple):
    """Runs of users' events [B, L + 1], padded on the left by one column at least; whole: [B], from the first event.

    context: [B, L + 1, CLOCK + CONTEXTS] uint8, that of each event. grades: [B, L + 1] float32, `Log.grades` of each.
    """

    histories: Histories
    context: U8
    grades: F32
    whole: Bool

    @property
    def predicted(self) -> Bool:
        """Which events are to be predicted, from the second column on [B, L]: those with a grade and a known past."""
        known: Bool = (self.histories.items[:, :-1] != PAD) | self.whole[:, None]
        return (self.grades[:, 1:] > 0) & known


class Crops:
    """Random runs of users' events, batched by length so that little is padding."""

    def __init__(self, log: Log, config: TowerConfig) -> None:
        self._log = log
        self._order, self._offsets = log.by_user
        self._length = config.length + 1
        self._batch = config.batch
        self._users = np.flatnonzero(np.diff(self._offsets))
        self.batches = -(-len(self._users) // self._batch)

    def epoch(self, rng: np.random.Generator) -> Iterator[Crop]:
        """One crop of each user, without the batches in which no event is to be predicted."""
        sizes = np.diff(self._offsets)[self._users]
        taken = np.minimum(sizes, self._length)
        skipped = (rng.random(len(sizes)) * (sizes - taken + 1)).astype(np.int64)
        ends = self._offsets[self._users] + skipped + taken
        by_length = np.lexsort((rng.random(len(sizes)), taken))
        for batch in rng.permutation(self.batches):
            chosen = by_length[batch * self._batch : (batch + 1) * self._batch]
            span = ends[chosen], (ends - taken)[chosen], int(taken[chosen].max()) + 1
            events, real = self._log.run(*span)
            grades = np.where(real, self._log.grades[events], np.float32(0))
            crop = Crop(self._log.windows(*span), self._log.context_of(events), grades, skipped[chosen] == 0)
            if crop.predicted.any():
                yield crop


class Batch(NamedTuple):
    """Crops made ready: item rows [B, L + 1], what is real, the steps of time, event types, what is to be predicted.

    weights: [P] float32, how much each of the predicted counts.
    context: [B, L + 1, CLOCK + CONTEXTS], that of each event, some of it hidden. negatives: [N] item rows. wanted: [W]
    distinct item rows of all these; where: the place among them of each row, then of each negative. known: [W], False
    where the id is hidden.
    """

    rows: Tensor
    real: Tensor
    gaps: Tensor
    types: Tensor
    context: Tensor
    predicted: Tensor
    weights: Tensor
    negatives: Tensor
    wanted: Tensor
    where: Tensor
    known: Tensor

    @classmethod
    def of(cls, crop: Crop, taken: Tensor, config: TowerConfig) -> Batch:
        """Draw negatives, half from the batch's own targets and half from `taken`, and the ids and contexts to hide."""
        real = torch.from_numpy(crop.histories.items) != PAD
        rows = torch.from_numpy(crop.histories.items).long().clamp(min=0)
        grades, predicted = torch.from_numpy(crop.grades)[:, 1:], torch.from_numpy(crop.predicted)
        targets_P = rows[:, 1:][predicted]
        in_batch = targets_P[torch.randint(len(targets_P), (config.negatives,))]
        negatives_N = torch.cat([in_batch, taken[torch.randint(len(taken), (config.negatives,))]])
        wanted, where = torch.unique(torch.cat([rows.flatten(), negatives_N]), return_inverse=True)
        return cls(
            rows,
            real,
            torch.from_numpy(time_features.gaps(crop.histories)),
            torch.from_numpy(crop.histories.types).long(),
            _partly_hidden(torch.from_numpy(crop.context), config.context_dropout),
            predicted,
            grades[predicted],
            negatives_N,
            wanted,
            where,
            torch.rand(len(wanted)) >= config.id_dropout,
        )

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        return Batch(*(tensor.to(device) for tensor in self))

    def share(self, first: int, step: int) -> Batch:
        """Every `step`-th crop from `first` on, and the negatives of all."""
        mine = slice(first, None, step)
        where = self.where[: self.rows.numel()].view_as(self.rows)[mine]
        weights = self.weights.new_zeros(self.predicted.shape).masked_scatter_(self.predicted, self.weights)
        return self._replace(
            rows=self.rows[mine],
            real=self.real[mine],
            gaps=self.gaps[mine],
            types=self.types[mine],
            context=self.context[mine],
            predicted=self.predicted[mine],
            weights=weights[mine][self.predicted[mine]],
            where=torch.cat([where.flatten(), self.where[self.rows.numel() :]]),
        )


def _partly_hidden(context: Tensor, share: float) -> Tensor:
    """`context` [..., C] with a share of the moments wholly unknown, and of the others' columns as many: int64."""
    shown = (torch.rand(context.shape) >= share) & (torch.rand(*context.shape[:-1], 1) >= share)
    return context.long() * shown
