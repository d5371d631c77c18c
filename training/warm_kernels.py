"""A training of a made-up log, after which the kernels lie compiled: a minute of one core, nearly all of them.

`python -m training.warm_kernels` does it at once. `flows.kernel_warm_up` does it beside a first run, which waits
for Prefect and for torch meanwhile.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from recsys.generation.loader import try_out
from recsys.process.parent_death import watch_parent
from training.config import RankerConfig, TowerConfig, TrainingConfig
from training.data import dataset
from training.data.interaction_log import encode
from training.export import export
from training.recipe import train

USERS, ITEMS, EACH = 200, 60, 8
CONFIG = TrainingConfig(
    tower=TowerConfig(dim=16, hidden=32, epochs=1, negatives=32),
    ranker=RankerConfig(queries=500, minimum=100, doubtful=0, epochs=1),
    threads=1,
    device="cpu",
)
NICE = 5
SETTING = """
name = "rehearsal"
[interactions]
file = "interactions.csv"
user_id = "user_id"
item_id = "item_id"
timestamp = "timestamp"
[items]
file = "items.csv"
item_id = "item_id"
categories = "category"
numeric = ["price"]
"""


def main() -> int:
    """Train, export and try it, in a folder that goes again."""
    watch_parent(os.getppid(), lambda: os._exit(1))
    os.nice(NICE)
    with tempfile.TemporaryDirectory(prefix="tandem-rehearsal-") as name:
        folder = Path(name)
        log = encode(dataset.read(_made_up(folder)))
        try_out(export(folder / "generations", log, train(log, CONFIG), CONFIG, "rehearsal"))
    return 0


def _made_up(folder: Path) -> Path:
    """Users who like what is numbered as they are, by two; the dataset's folder."""
    rng = np.random.default_rng(0)
    users, steps = np.repeat(np.arange(USERS), EACH), np.tile(np.arange(EACH), USERS)
    items = (users % 2 + 2 * rng.integers(ITEMS // 2, size=len(users))) % ITEMS
    times = 1.6e9 + 86_400 * (np.repeat(rng.uniform(0, 40, USERS), EACH) + steps)
    told = {"user_id": users, "item_id": items, "timestamp": times}
    pd.DataFrame(told).to_csv(folder / "interactions.csv", index=False)
    catalogue = np.arange(ITEMS)
    told = {"item_id": catalogue, "category": catalogue % 2, "price": 1.0 + catalogue}
    pd.DataFrame(told).to_csv(folder / "items.csv", index=False)
    (folder / "dataset.toml").write_text(SETTING, encoding="utf-8")
    return folder


if __name__ == "__main__":
    sys.exit(main())
