"""Random crops (runs of consecutive events) of users' histories, in batches, as training data for the towers.

The towers are the two networks that turn a user's history and an item into vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recsys.errors import SettingsError
from recsys.kernels import time_features
from recsys.types import F32, PAD, U8, Bool, Histories
from training.config import TowerConfig
from training.encode.interaction_log import Log
from training.processes import process_group


class Crop(NamedTuple):
    """Consecutive events of B users [B, L + 1], padded on the left by at least one column.

    context: [B, L + 1, CLOCK + CONTEXTS] uint8, of each event. grades: [B, L + 1] float32, `Log.grades` of each event.
    from_first: [B], crops that begin with the user's first event.
    """

    histories: Histories
    context: U8
    grades: F32
    from_first: Bool

    @property
    def predicted(self) -> Bool:
        """The events to predict, from the second column on [B, L]: events with a grade and a known past."""
        known: Bool = (self.histories.items[:, :-1] != PAD) | self.from_first[:, None]
        return (self.grades[:, 1:] > 0) & known


def users_of_rank(log: Log, rank: int, ranks: int) -> Log:
    """The events of a rank's share of the users, who get rows of their own and no ids.

    SettingsError for fewer users than ranks.
    """
    if ranks == 1:
        return log
    users, rows = np.unique(log.users, return_inverse=True)
    if len(users) < ranks:
        raise SettingsError(f"{ranks} processes can't share {len(users)} users: lower --nproc-per-node of torchrun.")
    mine = rows % ranks == rank
    unnamed = np.empty(len(users[rank::ranks]), object)
    return replace(log[mine], users=(rows[mine] // ranks).astype(np.int32), user_ids=unnamed)


class Crops:
    """Random crops of a log, batched by length so that little is padding.

    A batch is that of all ranks: each has crops of its own users, and all have the number of batches of rank 0.
    """

    def __init__(self, log: Log, config: TowerConfig) -> None:
        self._log = log
        self._order, self._offsets = log.by_user
        self._length = config.length + 1
        self._batch = process_group.share(config.batch)
        self._users = np.flatnonzero(np.diff(self._offsets))
        self._own_batches = -(-len(self._users) // self._batch)
        self.batches = process_group.broadcast(self._own_batches)

    def epoch(self, rng: np.random.Generator) -> Iterator[Crop]:
        """One crop of each user, in batches; a batch without an event to predict is left out."""
        sizes = np.diff(self._offsets)[self._users]
        taken = np.minimum(sizes, self._length)
        skipped = (rng.random(len(sizes)) * (sizes - taken + 1)).astype(np.int64)
        ends = self._offsets[self._users] + skipped + taken
        by_length = np.lexsort((rng.random(len(sizes)), taken))
        for batch in process_group.broadcast(rng.permutation(self.batches)) % self._own_batches:
            chosen = by_length[batch * self._batch : (batch + 1) * self._batch]
            span = ends[chosen], (ends - taken)[chosen], int(taken[chosen].max()) + 1
            events, real = self._log.last_events(*span)
            grades = np.where(real, self._log.grades[events], np.float32(0))
            crop = Crop(self._log.last_histories(*span), self._log.context_of(events), grades, skipped[chosen] == 0)
            if process_group.total(float(crop.predicted.any())):
                yield crop


class Batch(NamedTuple):
    """A batch of crops as tensors, with negatives.

    rows: [B, L + 1], item rows. real: [B, L + 1], False at padding. gaps: steps of time between events. types: event
    types. context: [B, L + 1, CLOCK + CONTEXTS], some of it hidden. predicted: [B, L]. times: [B, L + 1] float64, unix
    seconds. weights: [P] float32, of the predicted events. negatives: [N] item rows. items: [W], the distinct rows of
    `rows` and `negatives`. lookup: the place in `items` of each row, then of each negative. id_shown: [W], False where
    the item's id is hidden.
    """

    rows: Tensor
    real: Tensor
    gaps: Tensor
    types: Tensor
    context: Tensor
    predicted: Tensor
    times: Tensor
    weights: Tensor
    negatives: Tensor
    items: Tensor
    lookup: Tensor
    id_shown: Tensor

    @classmethod
    def of(cls, crop: Crop, catalogue: Tensor, config: TowerConfig) -> Batch:
        """Draw the negatives, half from the targets of the batch and half from `catalogue`, and what is hidden.

        Each rank draws a share of the negatives and has those of all ranks.
        """
        real = torch.from_numpy(crop.histories.items) != PAD
        rows = torch.from_numpy(crop.histories.items).long().clamp(min=0)
        grades, predicted = torch.from_numpy(crop.grades)[:, 1:], torch.from_numpy(crop.predicted)
        targets_P = rows[:, 1:][predicted]
        drawn_from = targets_P if len(targets_P) else catalogue  # none: other ranks have events to predict
        drawn = (process_group.share(config.negatives),)
        in_batch = drawn_from[torch.randint(len(drawn_from), drawn)]
        negatives_N = process_group.gathered(torch.cat([in_batch, catalogue[torch.randint(len(catalogue), drawn)]]))
        items, lookup = torch.unique(torch.cat([rows.flatten(), negatives_N]), return_inverse=True)
        return cls(
            rows=rows,
            real=real,
            gaps=torch.from_numpy(time_features.gaps(crop.histories)),
            types=torch.from_numpy(crop.histories.types).long(),
            context=_partly_hidden(torch.from_numpy(crop.context), config.context_dropout),
            predicted=predicted,
            times=torch.from_numpy(crop.histories.times),
            weights=grades[predicted],
            negatives=negatives_N,
            items=items,
            lookup=lookup,
            id_shown=torch.rand(len(items)) >= config.id_dropout,
        )

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        return Batch(*(tensor.to(device) for tensor in self))

    def part(self, first: int, step: int) -> Batch:
        """Every `step`-th crop from `first` on, with all negatives."""
        mine = slice(first, None, step)
        lookup = self.lookup[: self.rows.numel()].view_as(self.rows)[mine]
        weights = self.weights.new_zeros(self.predicted.shape).masked_scatter_(self.predicted, self.weights)
        return self._replace(
            rows=self.rows[mine],
            real=self.real[mine],
            gaps=self.gaps[mine],
            types=self.types[mine],
            context=self.context[mine],
            predicted=self.predicted[mine],
            times=self.times[mine],
            weights=weights[mine][self.predicted[mine]],
            lookup=torch.cat([lookup.flatten(), self.lookup[self.rows.numel() :]]),
        )


def _partly_hidden(context: Tensor, share: float) -> Tensor:
    """`context` [..., C] as int64, with all columns of a share of the events hidden, and as many single values."""
    shown = (torch.rand(context.shape) >= share) & (torch.rand(*context.shape[:-1], 1) >= share)
    return context.long() * shown
