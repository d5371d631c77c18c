"""Learning curves, hyperparameters and metrics of a run for TensorBoard, where that package is installed."""

from __future__ import annotations

import importlib.util
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import Any

from training.config import TrainingConfig
from training.evaluation.metric_table import METRICS, Evaluation
from training.options import FIELDS
from training.progress import Progress, Watch

FIGURE = re.compile(r"\b(loss|validation) (-?\d+(?:\.\d+)?)")
"""What a step's progress names: the loss of its last batches, and the judge's figure after an epoch."""


class TensorBoard:
    """One run as TensorBoard reads it; without the package every method does nothing."""

    def __init__(self, folder: Path, name: str) -> None:
        """folder: what `tensorboard --logdir` takes. name: the dataset's, at the start of the run's name."""
        run = re.sub(r"[^\w.-]+", "-", name)
        self._writer = _writer(folder / f"{run}-{time.strftime('%Y%m%d-%H%M%S')}")

    def close(self) -> None:
        """Write what is buffered and close the run's file."""
        if self._writer is not None:
            self._writer.close()

    def watch(self, watch: Watch) -> Watch:
        """`watch`, with each figure of a step's progress written as a scalar."""
        if self._writer is None:
            return watch

        @contextmanager
        def written(step: str) -> Iterator[Progress]:
            with watch(step) as progress:
                calls = 0

                def write(share: float, word: str) -> None:
                    nonlocal calls
                    calls += 1
                    for figure, value in FIGURE.findall(word):
                        self._writer.add_scalar(f"{step}/{figure}", float(value), calls)
                    progress(share, word)

                yield write

        return written

    def result(self, config: TrainingConfig, evaluation: Evaluation) -> None:
        """Write the configuration and the metrics of what is served."""
        if self._writer is not None:
            hyperparameters = {name: attrgetter(name)(config) for name in FIELDS}
            metrics = {metric: evaluation.served[metric] or 0.0 for metric in METRICS}
            self._writer.add_hparams(hyperparameters, metrics, run_name=".")


def _writer(folder: Path) -> Any:
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter  # imports the package

    return SummaryWriter(str(folder))
