"""Fit the towers: every prefix of a crop predicts its next item, all in one pass."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from recsys.towers import Towers
from recsys.types import F32, I32, PAD
from training.config import TowerConfig
from training.log import Log
from training.loss import corrected_softmax
from training.watch import Progress, no_progress


def fit_towers(log: Log, config: TowerConfig, seed: int, progress: Progress = no_progress) -> Towers:
    """Train both towers on every event of `log`."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    catalogue = log.catalogue
    towers = Towers(len(catalogue), len(catalogue.spec.tokens), config.dim, config.hidden, config.dropout)
    content = torch.from_numpy(catalogue.content).long()
    counts = np.bincount(log.items, minlength=len(catalogue))
    frequency = torch.from_numpy(counts / max(counts.sum(), 1)).float()
    crops = Crops(log, config)
    steps = max(1, config.epochs * crops.batches)
    optimizer = torch.optim.AdamW(towers.parameters(), config.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        config.learning_rate,
        max(steps, 11),
        pct_start=0.1,  # divides by a tenth of them less one
    )
    towers.train()
    done, mean = 0, 0.0
    for _ in range(config.epochs):
        for items in crops.epoch(rng):
            loss = _step(towers, torch.from_numpy(items).long(), content, frequency, config)
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(towers.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            done += 1
            mean = 0.98 * mean + 0.02 * float(loss.detach()) if done > 1 else float(loss.detach())
            progress(done / steps, f"loss {mean:.3f}")
    return towers.eval()


def _step(towers: Towers, items_BL: Tensor, content: Tensor, frequency: Tensor, config: TowerConfig) -> Tensor:
    """Loss of one batch of crops [B, L + 1], PAD on the left."""
    real = items_BL != PAD
    rows = items_BL.clamp(min=0)
    predicted = real[:, :-1] & real[:, 1:]
    targets_P = rows[:, 1:][predicted]
    in_batch = targets_P[torch.randint(len(targets_P), (config.negatives,))]
    negatives_N = torch.cat([in_batch, torch.randint(len(content), (config.negatives,))])
    wanted, where = torch.unique(torch.cat([rows.flatten(), negatives_N]), return_inverse=True)
    known = torch.rand(len(wanted)) >= config.id_dropout
    embeddings = towers.item(wanted, content[wanted], known)
    x_BLD = embeddings[where[: rows.numel()]].unflatten(0, rows.shape)
    users_PD = towers.user.every_prefix(x_BLD[:, :-1], real[:, :-1])[predicted]
    expected = config.negatives * (frequency[negatives_N] + 1 / len(content))
    return corrected_softmax(
        users_PD,
        targets_P,
        embeddings[where[rows.numel() :]],
        negatives_N,
        expected,
        x_BLD[:, 1:][predicted],
        towers.temperature,
    )


class Crops:
    """Random runs of users' events, batched by length so that little is padding."""

    def __init__(self, log: Log, config: TowerConfig) -> None:
        self._log = log
        self._order, self._offsets = log.by_user
        self._length = config.length + 1
        self._batch = config.batch
        self._users = np.flatnonzero(np.diff(self._offsets) >= 2)
        self.batches = -(-len(self._users) // self._batch)

    def epoch(self, rng: np.random.Generator) -> Iterator[I32]:
        """One crop of each user who did at least two things: [B, L + 1] int32, PAD on the left."""
        sizes = np.diff(self._offsets)[self._users]
        taken = np.minimum(sizes, self._length)
        starts = self._offsets[self._users] + (rng.random(len(sizes)) * (sizes - taken + 1)).astype(np.int64)
        by_length = np.lexsort((rng.random(len(sizes)), taken))
        for batch in rng.permutation(self.batches):
            chosen = by_length[batch * self._batch : (batch + 1) * self._batch]
            at = (starts + taken)[chosen][:, None] + np.arange(-int(taken[chosen].max()), 0)
            real = at >= starts[chosen][:, None]
            yield np.where(real, self._log.items[self._order[np.where(real, at, 0)]], PAD).astype(np.int32)


@torch.inference_mode()
def item_embeddings(towers: Towers, content: I32) -> F32:
    """Embeddings of the whole catalogue: [n, d] float32."""
    rows = torch.arange(len(content))
    embeddings: F32 = towers.eval().item(rows, torch.from_numpy(content).long()).numpy()
    return embeddings
