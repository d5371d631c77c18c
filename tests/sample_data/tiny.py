"""Tiny dataset for tests, with an obvious truth: each user likes one of three categories, which item ids name.

Items of an even number are used on a mobile device, of an odd number on a desktop.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd

from recsys.generation.manifest import GenerationFolder
from recsys.generation.publisher import Publisher
from recsys.store.redis.generation_store import RedisGenerationStore
from tests.sample_data.shared import shared
from training.config import RankerConfig, TowerConfig, TrainingConfig
from training.encode.interaction_log import Log, encode
from training.export.generation import Origin, export
from training.read import dataset
from training.recipe import train

USERS, PER_CATEGORY, CATEGORIES = 480, 25, ("action", "comedy", "drama")
DEVICES = ("mobile", "desktop")
CONFIG = TrainingConfig(
    tower=TowerConfig(dim=32, hidden=64, epochs=12, negatives=64),
    ranker=RankerConfig(queries=2000, minimum=100, doubtful=0, epochs=12),
    threads=1,
)


def write(folder: Path, seed: int = 0) -> Path:
    """Write the world as a dataset folder: user ids are integers, item ids strings such as comedy-7."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for user in range(USERS):
        favourite = CATEGORIES[user % 3]
        items = rng.permutation(PER_CATEGORY)[: rng.integers(6, 16)]
        start = rng.uniform(0, 40)
        rows += [
            (user, f"{favourite}-{item}", 1.6e9 + 86_400 * (start + step), DEVICES[item % 2])
            for step, item in enumerate(items)
        ]
    columns = ["user_id", "item_id", "timestamp", "device"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "interactions.csv", index=False)
    items = [(f"{c}-{i}", f"The {c} {i}", c, 1990 + i) for c in CATEGORIES for i in range(PER_CATEGORY)]
    pd.DataFrame(items, columns=["item_id", "title", "genre", "year"]).to_csv(folder / "items.csv", index=False)
    (folder / "dataset.toml").write_text(
        'name = "tiny"\n'
        '[interactions]\nfile = "interactions.csv"\nuser_id = "user_id"\nitem_id = "item_id"\ntimestamp = "timestamp"\n'
        'context = ["device"]\n'
        '[items]\nfile = "items.csv"\nitem_id = "item_id"\ntitle = "title"\ncategories = "genre"\nnumeric = ["year"]\n'
        '[features]\nitems = ["year"]\n'
    )
    return folder


def write_shop(folder: Path, newest: float) -> Path:
    """The same world as a shop whose newest event is at a moment: items are viewed, bought, refunded, bought again.

    It takes three times as long, so that users have purchases of the last 30 days and older ones.
    """
    path, rng = write(folder) / "interactions.csv", np.random.default_rng(1)
    rows = []
    for user, item, moment, device in pd.read_csv(path).itertuples(index=False):
        acts = [("scroll", -30), ("view", 0), ("purchase", 60), ("refund", 3_600), ("purchase", 7_200)]
        for act, later in acts[rng.integers(2) : rng.choice([2, 3, 4, 5], p=[0.5, 0.3, 0.1, 0.1])]:
            rows.append((user, item, moment + later, device, act))
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp", "device", "event"])
    table["timestamp"] = newest - 3 * (table["timestamp"].max() - table["timestamp"])
    table.to_csv(path, index=False)
    mapping = (folder / "dataset.toml").read_text().replace("[items]", 'event_type = "event"\n[items]')
    (folder / "dataset.toml").write_text(
        mapping + '[settings]\nexclude_seen = { types = ["purchase"], days = 30 }\n'
        '[events]\ntarget = ["purchase"]\nnegative = ["refund"]\nignored = ["scroll"]\n'
        "weights = { view = 1, purchase = 5 }\n"
    )
    return folder


def shop(folder: Path) -> tuple[GenerationFolder, Log]:
    """A generation of a shop whose data ends three weeks ago, and the log until now; trained once in a test run."""

    def make(target: Path) -> None:
        now = time.time()
        known = encode(dataset.read(write_shop(target / "data", now - 60))).before(now - 21 * 86_400)
        export(target / "generations", known, train(known, CONFIG), CONFIG, Origin("shop"))

    shared("shop", folder, make)
    return made(folder)


def generation(folder: Path, seed: int = 0) -> tuple[GenerationFolder, Log]:
    """A generation of the world, and its log; trained once in a test run."""

    def make(target: Path) -> None:
        log = encode(dataset.read(write(target / "data", seed)))
        export(target / "generations", log, train(log, CONFIG), CONFIG, Origin("tiny"))

    shared(f"tiny-{seed}", folder, make)
    return made(folder)


def made(folder: Path) -> tuple[GenerationFolder, Log]:
    """The generation in a folder, and the log of the data beside it."""
    [path] = (folder / "generations").iterdir()
    return GenerationFolder(path), encode(dataset.read(folder / "data"))


def publish(folder: GenerationFolder, store: RedisGenerationStore) -> str:
    """Put a generation into a store and make it live, without Prefect."""
    manifest = Publisher(store, folder.path.parent / "trials").publish(folder)
    store.promote(manifest.id)
    return manifest.id
