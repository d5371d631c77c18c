"""Fit the towers: every prefix of a crop predicts its next item, all in one pass."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recsys import moments
from recsys.towers import Towers
from recsys.types import F32, I32
from training.averaging import Average
from training.checkpoint import Checkpoint
from training.config import TowerConfig
from training.crops import Batch, Crop, Crops
from training.gradients import Gradients
from training.log import Log
from training.optimizers import TABLES, Optimizers
from training.uncompiled import uncompiled
from training.watch import Progress, no_progress

ROWS = 1 << 16
"""Items embedded at once: their tokens' embeddings are several times the table."""

Judge = Callable[[Towers], float]
"""How good towers are, higher better, on what they were not trained on."""


@dataclass(frozen=True)
class FittedTowers:
    """The towers, and the epochs that made them."""

    towers: Towers
    epochs: int


@uncompiled()
def fit_towers(
    log: Log,
    config: TowerConfig,
    seed: int,
    progress: Progress = no_progress,
    judge: Judge | None = None,
    checkpoint: Checkpoint | None = None,
) -> FittedTowers:
    """Train both towers on every event of `log`, for `config.epochs`, and give away their running average.

    With a judge the best epoch is taken, and none is begun `config.patience` epochs after it. With a checkpoint a
    training that was killed goes on where its last whole epoch ended, and ends as it would have.
    """
    torch.manual_seed(seed)
    threads = torch.get_num_threads()
    training = TowerTraining(log, config, seed, judge)
    try:
        if checkpoint is not None:
            training.restore(checkpoint.load())
        while not training.over:
            training.epoch(progress)
            if checkpoint is not None:
                checkpoint.save(*training.snapshot())
    finally:
        training.close()
        torch.set_num_threads(threads)  # the threads of the gradients took the rest of the process to one each
    return FittedTowers(training.best, training.best_epoch)


class TowerTraining:
    """A training between two epochs: all that the next one depends on."""

    def __init__(self, log: Log, config: TowerConfig, seed: int, judge: Judge | None) -> None:
        spec, items = log.catalogue.spec, len(log.catalogue)
        self._log, self._config, self._judge = log, config, judge
        self._rng = np.random.default_rng(seed)
        self._crops = Crops(log, config)
        self._content = torch.from_numpy(log.catalogue.content).long()
        # A negative that nobody ever took would only teach that new items are bad.
        self._taken = torch.from_numpy(np.unique(log.items)).long()
        types = max(1, len(spec.event_types))
        contexts = [len(values) + 1 for _, values in spec.contexts]
        sizes = items, len(spec.tokens), types, config.dim, config.hidden
        self.towers = Towers(*sizes, contexts, sparse=True)
        self._gradients = Gradients(self.towers, log, config.negatives)
        self._optimizers = Optimizers(self.towers, config.learning_rate, config.epochs * self._crops.batches)
        self._average = Average(self.towers, TABLES)
        self._best = copy.deepcopy(self.towers)
        self._done = 0
        self._judged: list[float] = []

    @property
    def over(self) -> bool:
        """Whether enough epochs are done, or none got better for a while."""
        waited = self._done - self.best_epoch if self._judge else 0
        return self._done >= self._config.epochs or waited >= self._config.patience

    @property
    def best_epoch(self) -> int:
        """The epoch that the judge liked most; without one, the last."""
        return int(np.argmax(self._judged)) + 1 if self._judged else self._done

    @property
    def best(self) -> Towers:
        """The averaged towers of the best epoch."""
        return self._best.eval() if self._judge else self._settled()

    def epoch(self, progress: Progress) -> None:
        """One crop of every user."""
        self.towers.train()
        losses = []
        for batch, crop in enumerate(self._crops.epoch(self._rng)):
            losses.append(self._step(crop))
            share = (self._done + (batch + 1) / self._crops.batches) / self._config.epochs
            progress(share, f"epoch {self._done + 1}, loss {np.mean(losses[-50:]):.3f}")
        self._done += 1
        if self._judge:
            whole = self._settled()
            self._judged.append(self._judge(whole))
            if self.best_epoch == self._done:
                self._best.load_state_dict(whole.state_dict())

    def _settled(self) -> Towers:
        """The average as it would be served: what no event taught is set to what is known to be sensible."""
        towers = self._average.whole()
        _fill_unseen_steps(towers, self._log)
        _forget_unseen_contexts(towers, self._log)
        _forget_unseen_items(towers, self._log)
        return towers.eval()

    def _step(self, crop: Crop) -> float:
        batch = Batch.of(crop, self._taken, self._config)
        rows = dict(zip(TABLES, batch.touched(self._content), strict=True))
        self._average.before(rows)
        self._optimizers.forget()
        loss = self._gradients.add(batch)
        self._optimizers.step()
        self._average.update(rows)
        return loss

    def close(self) -> None:
        """End its threads."""
        self._gradients.close()

    def snapshot(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """As tensors and JSON."""
        average = self._average
        tensors = {"rng": torch.get_rng_state(), "kept": average.kept}
        for name, module in (("now", self.towers), ("mean", average.towers), ("best", self._best)):
            tensors |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
        tensors |= {f"touched.{key}": value for key, value in average.touched.items()}
        tensors |= self._optimizers.tensors()
        facts = {
            "numpy": self._rng.bit_generator.state,
            "done": self._done,
            "judged": self._judged,
            "steps": average.steps,
        }
        return tensors, facts

    def restore(self, saved: tuple[dict[str, Tensor], dict[str, Any]] | None) -> None:
        """Go on from a snapshot, if there is one of such a training."""
        if saved is None or not self._fits(*saved):
            return
        tensors, facts = saved
        average = self._average
        for name, module in (("now", self.towers), ("mean", average.towers), ("best", self._best)):
            module.load_state_dict({key: tensors[f"{name}.{key}"] for key in module.state_dict()})
        for key in average.touched:
            average.touched[key] = tensors[f"touched.{key}"]
        average.kept, average.steps = tensors["kept"], facts["steps"]
        self._optimizers.load(tensors, average.steps)
        self._done, self._judged = facts["done"], facts["judged"]
        self._rng.bit_generator.state = facts["numpy"]
        torch.set_rng_state(tensors["rng"])

    def _fits(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> bool:
        """Whether a snapshot has all that this training has now, in the same shapes."""
        mine, told = self.snapshot()
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        return told.keys() == facts.keys() and all(shapes.get(name) == each.shape for name, each in mine.items())


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


@torch.no_grad()
def _forget_unseen_contexts(towers: Towers, log: Log) -> None:
    """Make a value of a context column that no event has what the unknown one is."""
    for column, embedding in enumerate(towers.user.contexts):
        weight = embedding.get_parameter("weight")
        unseen = np.bincount(log.contexts[:, column], minlength=len(weight)) == 0
        weight[torch.from_numpy(unseen)] = weight[0].clone()


@torch.no_grad()
def _forget_unseen_items(towers: Towers, log: Log) -> None:
    """Leave an item that nobody took to its content: all its id ever learned is to be a negative."""
    seen = np.bincount(log.items, minlength=len(log.catalogue)) > 0
    towers.item.ids.weight[torch.from_numpy(~seen)] = 0


@torch.inference_mode()
def item_embeddings(towers: Towers, content: I32) -> F32:
    """Embeddings of the whole catalogue: [n, d] float32."""
    towers.eval()
    embeddings = np.empty((len(content), towers.item.ids.embedding_dim), np.float32)
    for start in range(0, len(content), ROWS):
        chunk = torch.from_numpy(content[start : start + ROWS]).long()
        embeddings[start : start + ROWS] = towers.item(torch.arange(start, start + len(chunk)), chunk).numpy()
    return embeddings
