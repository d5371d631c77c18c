"""A small log with a pattern to learn: items form a ring, and most users go from an item to the next one."""

from pathlib import Path

import numpy as np
import pandas as pd

from recsys.model.event_types import SeenRule
from recsys.types import Id
from training.config import RankerConfig, TowerConfig, TrainingConfig
from training.encode.interaction_log import Log, encode
from training.read.dataset import Dataset

START = 1_700_000_000.0


def quick() -> TrainingConfig:
    """Settings that train in seconds."""
    tower = TowerConfig(dim=16, hidden=32, batch=16, epochs=20, negatives=64)
    return TrainingConfig(tower=tower, ranker=RankerConfig(epochs=2, minimum=50, doubtful=0), precomputed=10, threads=1)


def ring(users: int = 100, items: int = 40, steps: int = 12, noise: float = 0.2, strings: bool = False) -> pd.DataFrame:
    """A log of three columns in order of time; each user starts at a random item."""
    rng = np.random.default_rng(0)
    at = rng.integers(items, size=users)
    rows: list[tuple[Id, Id, float]] = []
    for step in range(steps):
        at = np.where(rng.random(users) < noise, rng.integers(items, size=users), (at + 1) % items)
        when = START + step * 86_400 + np.sort(rng.random(users)) * 86_000
        rows += zip(range(users), at.tolist(), when.tolist(), strict=True)
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    if strings:
        frame["user_id"] = "u-" + frame["user_id"].astype("str")
        frame["item_id"] = "ä/" + frame["item_id"].astype("str")
    return frame


def dataset(frame: pd.DataFrame, exclude_seen: bool = True) -> Dataset:
    """The frame as a dataset without an items table."""
    nothing = pd.DataFrame({"item_id": pd.Series(dtype="str")})
    frame = frame.sort_values("timestamp", kind="stable", ignore_index=True).assign(event_type="click")
    return Dataset("ring", frame, nothing, SeenRule(exclude_seen))


def log_of(frame: pd.DataFrame, exclude_seen: bool = True) -> Log:
    """The frame as a log."""
    return encode(dataset(frame, exclude_seen))


def write(folder: Path, frame: pd.DataFrame) -> Path:
    """The frame as a dataset's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "log.csv", index=False)
    (folder / "dataset.toml").write_text(
        'name = "ring"\n[interactions]\nfile = "log.csv"\n'
        'user_id = "user_id"\nitem_id = "item_id"\ntimestamp = "timestamp"\n'
    )
    return folder
