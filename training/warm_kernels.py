"""Warm the cache of kernels (loops compiled by numba) by training on a small generated log: a minute of one core.

`python -m training.warm_kernels` runs it. `flows.cli.kernel_compilation` starts it in a process beside a first training
run, which meanwhile waits for Prefect and torch.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from recsys.generation.loader import check_servable
from recsys.process.parent_death import watch_parent
from training.config import RankerConfig, TowerConfig, TrainingConfig
from training.encode.interaction_log import encode
from training.export.generation import Origin, export
from training.generated_log import Shape, generate
from training.read import dataset
from training.recipe import train

SHAPE = Shape(interactions=1_600, items=60, events=8)
CONFIG = TrainingConfig(
    tower=TowerConfig(dim=16, hidden=32, epochs=1, negatives=32),
    ranker=RankerConfig(queries=500, minimum=20, doubtful=0, epochs=1),
    threads=1,
    device="cpu",
)
NICE = 5
"""The niceness of the process, so that a first run beside it has the cores."""


def main() -> int:
    """Train, export and load a generation in a temporary folder; the exit code."""
    watch_parent(os.getppid(), lambda: os._exit(1))
    os.nice(NICE)
    with tempfile.TemporaryDirectory(prefix="tandem-warm-kernels-") as name:
        folder = Path(name)
        log = encode(dataset.read(generate(SHAPE, folder / "data")))
        check_servable(export(folder / "generations", log, train(log, CONFIG), CONFIG, Origin("warm kernels")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
