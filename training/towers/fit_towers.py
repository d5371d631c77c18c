"""Fit the towers: every prefix of a crop predicts its next item, all in one pass."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from recsys.model import time_features
from recsys.model.towers import Towers
from recsys.types import F32, I32
from training.config import TowerConfig
from training.data.interaction_log import Log
from training.device import CPU
from training.progress import Progress, no_progress
from training.towers.checkpoint import Checkpoint
from training.towers.crops import Batch, Crop, Crops
from training.towers.gradients import Gradients
from training.towers.optimizers import AVERAGE_EVERY, Optimizers, averaged

ROWS = 1 << 16
"""Items embedded at once: their tokens' embeddings are several times the table."""

Judge = Callable[[Towers], float]
"""How good towers are, higher better, on what they were not trained on."""


@dataclass(frozen=True)
class FittedTowers:
    """The towers, on the device where they were trained, and the epochs that made them."""

    towers: Towers
    epochs: int


def fit_towers(
    log: Log,
    config: TowerConfig,
    seed: int,
    progress: Progress = no_progress,
    judge: Judge | None = None,
    checkpoint: Checkpoint | None = None,
    device: torch.device = CPU,
) -> FittedTowers:
    """Train both towers on every event of `log` for `config.epochs`; the result is the moving average of the weights.

    With a judge the best epoch is taken, and training stops `config.patience` epochs after it. With a checkpoint a
    training that was killed continues from its last whole epoch. On one CPU its result is the same to the bit.
    """
    threads = torch.get_num_threads()
    training = TowerTraining(log, config, seed, judge, device)
    try:
        saved = checkpoint.load() if checkpoint else None
        if saved and not training.restore(saved):
            training.close()
            training = TowerTraining(log, config, seed, judge, device)
        while not training.over:
            training.epoch(progress)
            if checkpoint is not None:
                checkpoint.save(training.state_dict())
    finally:
        training.close()
        torch.set_num_threads(threads)  # the threads of the gradients took the rest of the process to one each
    return FittedTowers(training.best, training.best_epoch)


class TowerTraining:
    """A training between two epochs: all that the next epoch depends on."""

    def __init__(self, log: Log, config: TowerConfig, seed: int, judge: Judge | None, device: torch.device) -> None:
        torch.manual_seed(seed)
        spec, items = log.catalogue.spec, len(log.catalogue)
        self._log, self._config, self._judge, self._device = log, config, judge, device
        self._rng = np.random.default_rng(seed)
        self._crops = Crops(log, config)
        # An item without events is no negative: as one it would only teach that new items are bad.
        self._taken = torch.from_numpy(np.unique(log.items)).long()
        types = max(1, len(spec.event_types))
        contexts = [len(values) + 1 for _, values in spec.contexts]
        sizes = items, len(spec.tokens), types, config.dim, config.hidden
        self.towers = Towers(*sizes, contexts, sparse=True).to(device)
        self._gradients = Gradients(self.towers, log, config.negatives, device)
        self._optimizers = Optimizers(self.towers, config.learning_rate, config.epochs * self._crops.batches)
        self._average = averaged(self.towers)
        self._best = copy.deepcopy(self.towers)
        self._done = 0
        self._judged: list[float] = []

    @property
    def over(self) -> bool:
        """Whether enough epochs are done, or the last ones were no better than an earlier one."""
        waited = self._done - self.best_epoch if self._judge else 0
        return self._done >= self._config.epochs or waited >= self._config.patience

    @property
    def best_epoch(self) -> int:
        """The epoch with the judge's highest figure; without a judge, the last epoch."""
        return int(np.argmax(self._judged)) + 1 if self._judged else self._done

    @property
    def best(self) -> Towers:
        """The averaged towers of the best epoch."""
        return self._best.eval() if self._judge else self._settled()

    def epoch(self, progress: Progress) -> None:
        """Train on one crop of every user, and have the judge rate the average."""
        self.towers.train()
        losses = []
        for batch, crop in enumerate(self._crops.epoch(self._rng)):
            losses.append(self._step(crop))
            if batch % AVERAGE_EVERY == 0:
                self._average.update_parameters(self.towers)
            share = (self._done + (batch + 1) / self._crops.batches) / self._config.epochs
            progress(share, f"epoch {self._done + 1}, loss {np.mean(losses[-50:]):.3f}")
        self._average.update_parameters(self.towers)
        self._done += 1
        if self._judge:
            towers = self._settled()
            self._judged.append(self._judge(towers))
            if self.best_epoch == self._done:
                self._best.load_state_dict(towers.state_dict())
            progress(self._done / self._config.epochs, f"epoch {self._done}, validation {self._judged[-1]:.4f}")

    def _settled(self) -> Towers:
        """The average as it is served: weights that no event trained get a sensible value."""
        towers = self._average.module
        assert isinstance(towers, Towers)
        _fill_unseen_steps(towers, self._log)
        _forget_unseen_contexts(towers, self._log)
        _forget_unseen_items(towers, self._log)
        return towers.eval()

    def _step(self, crop: Crop) -> float:
        batch = Batch.of(crop, self._taken, self._config).to(self._device)
        self._optimizers.zero_grad()
        loss = self._gradients.add(batch)
        self._optimizers.step()
        return loss

    def close(self) -> None:
        """End its threads."""
        self._gradients.close()

    def state_dict(self) -> dict[str, Any]:
        """All that the next epoch depends on."""
        return {
            "towers": self.towers.state_dict(),
            "average": self._average.state_dict(),
            "best": self._best.state_dict(),
            "optimizers": self._optimizers.state_dict(),
            "torch": torch.get_rng_state(),
            "numpy": self._rng.bit_generator.state,
            "done": self._done,
            "judged": self._judged,
        }

    def restore(self, state: dict[str, Any]) -> bool:
        """Continue from a `state_dict`; False where it is that of another release, and nothing here may be used."""
        try:
            self.towers.load_state_dict(state["towers"])
            self._average.load_state_dict(state["average"])
            self._best.load_state_dict(state["best"])
            self._optimizers.load_state_dict(state["optimizers"])
            torch.set_rng_state(state["torch"])
            self._rng.bit_generator.state = state["numpy"]
            self._done, self._judged = state["done"], state["judged"]
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError):
            return False
        return True


@torch.no_grad()
def _fill_unseen_steps(towers: Towers, log: Log) -> None:
    """Give a step of time that lies between no two events the weights of the nearest step: a log may rest for years."""
    order, _ = log.by_user
    same = np.diff(log.users[order]) == 0
    seen = np.unique(time_features.steps(np.diff(log.times[order])[same]))
    if not len(seen):
        return
    every = np.arange(time_features.STEPS)
    nearest = seen[np.abs(every[:, None] - seen).argmin(axis=1)]
    for embedding in (towers.user.gaps, towers.user.waits):
        embedding.weight[: time_features.STEPS] = embedding.weight[nearest]


@torch.no_grad()
def _forget_unseen_contexts(towers: Towers, log: Log) -> None:
    """Give a value of a context column that no event has the weights of the unknown value."""
    for column, embedding in enumerate(towers.user.contexts):
        weight = embedding.get_parameter("weight")
        unseen = np.bincount(log.contexts[:, column], minlength=len(weight)) == 0
        weight[torch.from_numpy(unseen)] = weight[0].clone()


@torch.no_grad()
def _forget_unseen_items(towers: Towers, log: Log) -> None:
    """Clear the id embedding of an item without events, so that its content alone places it."""
    seen = np.bincount(log.items, minlength=len(log.catalogue)) > 0
    towers.item.ids.weight[torch.from_numpy(~seen)] = 0


@torch.inference_mode()
def item_embeddings(towers: Towers, content: I32) -> F32:
    """Embeddings of the whole catalogue, computed where the towers are: [n, d] float32."""
    towers.eval()
    device = towers.log_temperature.device
    embeddings = np.empty((len(content), towers.item.ids.embedding_dim), np.float32)
    for start in range(0, len(content), ROWS):
        chunk = torch.from_numpy(content[start : start + ROWS]).long().to(device)
        rows = torch.arange(start, start + len(chunk), device=device)
        embeddings[start : start + ROWS] = towers.item(rows, chunk).cpu().numpy()
    return embeddings
