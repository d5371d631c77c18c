"""Fit the towers, the two networks that turn a user's history and an item into vectors, on an interactions log.

Each prefix of a crop (a run of consecutive events of one user) predicts its next item, all prefixes in one pass.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from recsys.kernels import time_features
from recsys.model.towers import ItemTower, Towers
from recsys.types import F32, I32
from training.config import TowerConfig
from training.device import CPU
from training.encode.interaction_log import Log
from training.fit.crops import Batch, Crop, Crops, users_of_rank
from training.fit.gradients import Gradients
from training.fit.optimizers import AVERAGE_EVERY, Optimizers, averaged
from training.processes import process_group
from training.processes.engine import LOCAL, Engine
from training.progress import StepProgress, no_step
from training.stage_files import State

ROWS = 1 << 16
"""Items embedded at once: the embeddings of their content tokens are several times the table."""

Validate = Callable[[Towers], float]
"""Returns the quality of towers on data that they were not trained on; higher is better."""


class FittedTowers(NamedTuple):
    """The towers, on the device where they were trained, and the number of epochs of their training."""

    towers: Towers
    epochs: int


def fit_towers(
    log: Log,
    config: TowerConfig,
    seed: int,
    progress: StepProgress = no_step,
    validate: Validate | None = None,
    state: State | None = None,
    device: torch.device = CPU,
) -> FittedTowers:
    """Train both towers on every event of `log` for `config.epochs`; the result is the moving average of the weights.

    With a validation the result is the best epoch, and training stops `config.patience` epochs after it. With a
    state a killed training continues after its last complete epoch, and on one CPU has the same bits.
    On several ranks each trains on its share of the users; rank 0 alone validates and has the state.
    """
    shared = partial(users_of_rank, log, ranks=process_group.world_size())
    validated = None if validate is None else _validated_by_first

    def part(rank: int) -> process_group.Part:
        mine = shared(rank)
        return _train, (partial(TowerTraining, mine, mine, config, seed, validated, device),)

    with process_group.together(part):
        training = _train(partial(TowerTraining, log, shared(0), config, seed, validate, device), progress, state)
    return FittedTowers(training.best, training.best_epoch)


def _train(
    start: Callable[[], TowerTraining], progress: StepProgress = no_step, state: State | None = None
) -> TowerTraining:
    """Train until the training is complete, from the state of rank 0 on."""
    training = start()
    try:
        saved = process_group.broadcast(state.load() if state else None)
        if saved:
            training.restore(saved)
        while not training.complete:
            training.train_epoch(progress)
            if state is not None:
                state.save(training.state_dict())
    finally:
        training.close()
    return training


def _validated_by_first(_: Towers) -> float:
    """The validation on the other ranks, which have the figure of rank 0."""
    return 0.0


class TowerTraining:
    """The state of a training of the towers between two epochs: everything that the next epoch depends on.

    mine: the events of this rank's users. log: all events; on other ranks than 0 also `mine`.
    """

    def __init__(
        self,
        log: Log,
        mine: Log,
        config: TowerConfig,
        seed: int,
        validate: Validate | None,
        device: torch.device,
    ) -> None:
        torch.manual_seed(seed)
        spec, items = log.catalogue.spec, len(log.catalogue)
        self._log, self._config, self._validate, self._device = log, config, validate, device
        self._seed, self._rng = seed, np.random.default_rng(seed)
        self._crops = Crops(mine, config)
        # An item without events is no negative: as a negative it would only teach that new items are bad.
        self._negatives = torch.from_numpy(process_group.broadcast(np.unique(log.items))).long()
        types = max(1, len(spec.event_types))
        contexts = [len(values) + 1 for _, values in spec.contexts]
        sizes = items, len(spec.tokens), types, config.dim, config.hidden
        self.towers = Towers(*sizes, contexts, sparse=True).to(device)
        self._gradients = Gradients(self.towers, log, config.negatives, device)
        self._optimizers = Optimizers(self.towers, config.learning_rate, config.epochs * self._crops.batches)
        self._average = averaged(self.towers)
        self._best = copy.deepcopy(self.towers)
        self._epochs = 0
        self._validations: list[float] = []

    @property
    def complete(self) -> bool:
        """Whether all epochs are done, or `patience` epochs were no better than an earlier one."""
        worse = self._epochs - self.best_epoch if self._validate else 0
        return self._epochs >= self._config.epochs or worse >= self._config.patience

    @property
    def best_epoch(self) -> int:
        """The epoch with the highest validation; without a validation, the last epoch."""
        return int(np.argmax(self._validations)) + 1 if self._validations else self._epochs

    @property
    def best(self) -> Towers:
        """The averaged towers of the best epoch."""
        return self._best.eval() if self._validate else self._averaged_towers()

    def train_epoch(self, progress: StepProgress) -> None:
        """Train on one crop of every user, and validate the average."""
        self.towers.train()
        if process_group.world_size() > 1:
            self._draw_per_rank()
        epoch, losses = f"epoch {self._epochs + 1}", list[float]()
        for batch, crop in enumerate(self._crops.epoch(self._rng)):
            losses.append(self._train_batch(crop))
            if batch % AVERAGE_EVERY == 0:
                self._average.update_parameters(self.towers)
            share = (self._epochs + (batch + 1) / self._crops.batches) / self._config.epochs
            progress(share, epoch, loss=float(np.mean(losses[-50:])))
        self._average.update_parameters(self.towers)
        self._epochs += 1
        if self._validate:
            towers = self._averaged_towers()
            self._validations.append(process_group.broadcast(self._validate(towers)))
            if self.best_epoch == self._epochs:
                self._best.load_state_dict(towers.state_dict())
            progress(self._epochs / self._config.epochs, epoch, validation=self._validations[-1])

    def _draw_per_rank(self) -> None:
        """Seed the draws of an epoch: each rank has its own, also after a restart from the state of rank 0."""
        seeds = np.random.SeedSequence([self._seed, self._epochs, process_group.rank()])
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        self._rng = np.random.default_rng(seeds)

    def _train_batch(self, crop: Crop) -> float:
        batch = Batch.of(crop, self._negatives, self._config).to(self._device)
        self._optimizers.zero_grad()
        loss = self._gradients.add(batch)
        self._optimizers.step()
        return loss

    def _averaged_towers(self) -> Towers:
        """The average as it is served: weights that no event trained are set."""
        towers = self._average.module
        assert isinstance(towers, Towers)
        _fill_unseen_steps(towers, self._log)
        _clear_unseen_contexts(towers, self._log)
        _clear_unseen_items(towers, self._log)
        return towers.eval()

    def close(self) -> None:
        """End the threads of the gradients."""
        self._gradients.close()

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next epoch depends on."""
        return {
            "towers": self.towers.state_dict(),
            "average": self._average.state_dict(),
            "best": self._best.state_dict(),
            "optimizers": self._optimizers.state_dict(),
            "torch": torch.get_rng_state(),
            "numpy": self._rng.bit_generator.state,
            "epochs": self._epochs,
            "validations": self._validations,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a `state_dict`."""
        self.towers.load_state_dict(state["towers"])
        self._average.load_state_dict(state["average"])
        self._best.load_state_dict(state["best"])
        self._optimizers.load_state_dict(state["optimizers"])
        torch.set_rng_state(state["torch"])
        self._rng.bit_generator.state = state["numpy"]
        self._epochs, self._validations = state["epochs"], state["validations"]


@torch.no_grad()
def _fill_unseen_steps(towers: Towers, log: Log) -> None:
    """Give a step of time between no two events of the log the weights of the nearest step."""
    order, _ = log.by_user
    same = np.diff(log.users[order]) == 0
    seen = np.unique(time_features.steps(np.diff(log.times[order])[same]))
    if not len(seen):
        return
    nearest = seen[np.abs(np.arange(time_features.STEPS)[:, None] - seen).argmin(axis=1)]
    for embedding in (towers.user.gaps, towers.user.waits):
        embedding.weight[: time_features.STEPS] = embedding.weight[nearest]


@torch.no_grad()
def _clear_unseen_contexts(towers: Towers, log: Log) -> None:
    """Give a context value without an event the weights of the unknown value."""
    for column, embedding in enumerate(towers.user.contexts):
        weight = embedding.get_parameter("weight")
        unseen = np.bincount(log.contexts[:, column], minlength=len(weight)) == 0
        weight[torch.from_numpy(unseen)] = weight[0].clone()


@torch.no_grad()
def _clear_unseen_items(towers: Towers, log: Log) -> None:
    """Set the id embedding of an item without an event to 0, so that only its content places it."""
    seen = np.bincount(log.items, minlength=len(log.catalogue)) > 0
    towers.item.ids.weight[torch.from_numpy(~seen)] = 0


def item_embeddings(towers: Towers, content: I32, engine: Engine = LOCAL) -> F32:
    """Embeddings of all items of a catalogue: [n, d] float32. engine: computes them, unless the towers are on a GPU."""
    towers.eval()
    if towers.log_temperature.device != CPU:
        engine = LOCAL
    items = range(len(content))
    parts = [items[start : start + ROWS] for start in items[::ROWS]]
    embeddings = np.empty((len(content), towers.item.ids.embedding_dim), np.float32)
    for rows, found in zip(parts, engine.map_shared(_embedded, (towers.item, content), parts), strict=True):
        embeddings[rows.start : rows.stop] = found
    return embeddings


@torch.inference_mode()
def _embedded(items: tuple[ItemTower, I32], rows: range) -> F32:
    """The embeddings of some items, computed on the device of the tower: [rows, d] float32."""
    tower, content = items
    device = tower.ids.weight.device
    tokens = torch.from_numpy(content[rows.start : rows.stop]).long().to(device)
    embeddings: F32 = tower(torch.arange(rows.start, rows.stop, device=device), tokens).cpu().numpy()
    return embeddings
