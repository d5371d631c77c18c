"""Fit the towers: every prefix of a crop predicts its next item, all in one pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from recsys import moments
from recsys.towers import Past, Towers
from recsys.types import F32, I32, PAD, Bool, Histories
from training.config import TowerConfig
from training.course import Course
from training.log import Log
from training.loss import corrected_softmax
from training.watch import Progress, no_progress


def fit_towers(log: Log, config: TowerConfig, seed: int, progress: Progress = no_progress) -> Towers:
    """Train both towers on every event of `log`."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    catalogue = log.catalogue
    spec = catalogue.spec
    towers = Towers(
        len(catalogue), len(spec.tokens), max(1, len(spec.event_types)), config.dim, config.hidden, config.dropout
    )
    content = torch.from_numpy(catalogue.content).long()
    counts = np.bincount(log.items, minlength=len(catalogue))
    frequency = torch.from_numpy(counts / max(counts.sum(), 1)).float()
    crops = Crops(log, config)
    course = Course(towers, config.learning_rate, 1e-4, config.epochs * crops.batches, progress)
    towers.train()
    for _ in range(config.epochs):
        for crop in crops.epoch(rng):
            course.step(_loss(towers, crop, content, frequency, config))
    _fill_unseen_steps(towers, log)
    return towers.eval()


@torch.no_grad()
def _fill_unseen_steps(towers: Towers, log: Log) -> None:
    """Give a step of time that no two events lie apart what the nearest one learned: a log may rest for years."""
    order, _ = log.by_user
    same = np.diff(log.users[order]) == 0
    seen = np.unique(moments.steps(np.diff(log.times[order])[same]))
    if not len(seen):
        return
    every = np.arange(moments.STEPS)
    nearest = seen[np.abs(every[:, None] - seen).argmin(axis=1)]
    for embedding in (towers.user.gaps, towers.user.waits):
        embedding.weight[: moments.STEPS] = embedding.weight[nearest]


def _loss(towers: Towers, crop: Crop, content: Tensor, frequency: Tensor, config: TowerConfig) -> Tensor:
    """Mean loss of one batch of crops."""
    real = torch.from_numpy(crop.histories.items) != PAD
    rows = torch.from_numpy(crop.histories.items).long().clamp(min=0)
    gaps = torch.from_numpy(moments.gaps(crop.histories))
    predicted = real[:, 1:] & (real[:, :-1] | torch.from_numpy(crop.whole)[:, None])
    targets_P = rows[:, 1:][predicted]
    in_batch = targets_P[torch.randint(len(targets_P), (config.negatives,))]
    negatives_N = torch.cat([in_batch, torch.randint(len(content), (config.negatives,))])
    wanted, where = torch.unique(torch.cat([rows.flatten(), negatives_N]), return_inverse=True)
    known = torch.rand(len(wanted)) >= config.id_dropout
    embeddings = towers.item(wanted, content[wanted], known)
    # F.embedding, not an index: the gradient of an index on several threads adds in an order of its own each time.
    x_BLD = F.embedding(where[: rows.numel()], embeddings).unflatten(0, rows.shape)
    past = Past(x_BLD[:, :-1], real[:, :-1], torch.from_numpy(crop.histories.types).long()[:, :-1], gaps[:, :-1])
    expected = config.negatives * (frequency[negatives_N] + 1 / len(content))
    return corrected_softmax(
        towers.user.every_prefix(past, gaps[:, 1:])[predicted],
        targets_P,
        F.embedding(where[rows.numel() :], embeddings),
        negatives_N,
        expected,
        x_BLD[:, 1:][predicted],
        towers.temperature,
    )


class Crop(NamedTuple):
    """Runs of users' events [B, L + 1], padded on the left by one column at least; whole: [B], from the first event."""

    histories: Histories
    whole: Bool


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
        """One crop of each user."""
        sizes = np.diff(self._offsets)[self._users]
        taken = np.minimum(sizes, self._length)
        skipped = (rng.random(len(sizes)) * (sizes - taken + 1)).astype(np.int64)
        ends = self._offsets[self._users] + skipped + taken
        by_length = np.lexsort((rng.random(len(sizes)), taken))
        for batch in rng.permutation(self.batches):
            chosen = by_length[batch * self._batch : (batch + 1) * self._batch]
            windows = self._log.windows(ends[chosen], (ends - taken)[chosen], int(taken[chosen].max()) + 1)
            yield Crop(windows, skipped[chosen] == 0)


@torch.inference_mode()
def item_embeddings(towers: Towers, content: I32) -> F32:
    """Embeddings of the whole catalogue: [n, d] float32."""
    rows = torch.arange(len(content))
    embeddings: F32 = towers.eval().item(rows, torch.from_numpy(content).long()).numpy()
    return embeddings
