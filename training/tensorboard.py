"""Write the learning curves, hyperparameters and metrics of a training run for TensorBoard, if it is installed."""

from __future__ import annotations

import importlib.util
import re
import time
from collections import Counter
from operator import attrgetter
from pathlib import Path
from typing import Any

from training.config import TrainingConfig
from training.judge.metric_table import METRICS, Evaluation
from training.options import FIELDS
from training.progress import Update


class TensorBoard:
    """A progress display that writes the figures of a run's steps; without the package every method does nothing."""

    def __init__(self, folder: Path, dataset: str) -> None:
        """folder: what `tensorboard --logdir` takes. The name of the run begins with the name of the dataset."""
        name = re.sub(r"[^\w.-]+", "-", dataset)
        self._writer: Any = None
        self._updates: Counter[str] = Counter()
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter  # imports the package

            self._writer = SummaryWriter(str(folder / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"))

    def close(self) -> None:
        """Write what is buffered and close the run's file."""
        if self._writer is not None:
            self._writer.close()

    def __call__(self, update: Update) -> None:
        """Write each figure of a step as a scalar."""
        if self._writer is not None and not update.done:
            self._updates[update.step] += 1
            for name, value in update.figures.items():
                self._writer.add_scalar(f"{update.step}/{name}", value, self._updates[update.step])

    def result(self, config: TrainingConfig, evaluation: Evaluation) -> None:
        """Write the configuration and the metrics of the served model."""
        if self._writer is not None:
            hyperparameters = {name: attrgetter(name)(config) for name in FIELDS}
            metrics = {metric: evaluation.served[metric] or 0.0 for metric in METRICS}
            self._writer.add_hparams(hyperparameters, metrics, run_name=".")
