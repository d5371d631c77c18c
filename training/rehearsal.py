"""A training of a made-up log, after which all kernels lie compiled: a first run has that done beside its own work.

They take a minute of one core (76 kinds, numba); a first run waits for Prefect and for torch meanwhile, which leave
the others idle. `python -m training.rehearsal` does it at once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

import recsys.kernels
from recsys import lifeline
from recsys.trial import try_out
from training import dataset
from training.config import RankerConfig, TowerConfig, TrainingConfig
from training.export import export
from training.log import encode
from training.recipe import train

USERS, ITEMS, EACH = 200, 60, 8
CONFIG = TrainingConfig(
    tower=TowerConfig(dim=16, hidden=32, epochs=1, negatives=32),
    ranker=RankerConfig(queries=500, minimum=100, doubtful=0, epochs=1),
    threads=1,
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


@contextmanager
def rehearsing() -> Iterator[None]:
    """Meanwhile a process of our own rehearses, where nothing lies compiled and a core would be idle; it ends with us.

    What it has not done by then, or can't do, is compiled where it is needed.
    """
    if not needed() or len(os.sched_getaffinity(0)) == 1:
        yield
        return
    child = subprocess.Popen(
        [sys.executable, "-m", __name__],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for us
        preexec_fn=lifeline.preexec(),
    )
    try:
        yield
    finally:
        child.kill()
        child.wait()


def needed() -> bool:
    """Whether no kernel lies compiled where numba would look."""
    there = Path(os.environ.get("NUMBA_CACHE_DIR") or Path(recsys.kernels.__path__[0], "__pycache__"))
    return next(there.rglob("*.nbi"), None) is None


def main() -> int:
    """Train, export and try it, in a folder that goes again."""
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
