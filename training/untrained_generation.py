"""Make generations (folders of models and tables that servers load) without training, for tests and benchmarks."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from recsys.generation.manifest import USER_IDS, USER_RECORDS, GenerationFolder, Manifest, describe
from recsys.generation.packed_strings import StringTable
from recsys.model.features import width
from recsys.model.towers import Towers
from training.config import small
from training.encode.interaction_log import Log
from training.export.generation import Origin, TrainedModel, export
from training.fit.first_stage import FirstStage
from training.fit.item_tables import build_tables
from training.judge.metric_table import SERVED, Evaluation
from training.rank.fit_ranker import ORDERS, order_net

ORDER = "popularity_decayed + 4 tower"
"""The ranker of an untrained generation."""


def random_generation(
    parent: Path, generation: str, items: int, dim: int, users: int, record: int = 1_200
) -> GenerationFolder:
    """Write a generation of random bytes, which has the size of a real one but which no server can use.

    record: the mean size of a user's record in bytes; the sizes vary by half.
    """
    rng = np.random.default_rng(items)
    folder = parent / generation
    folder.mkdir(parents=True)
    np.save(folder / "embeddings.npy", rng.standard_normal((items, dim), np.float32))
    np.save(folder / "popularity.npy", rng.random((items, 4), np.float32))
    np.save(folder / "available.npy", np.ones(items, bool))
    StringTable.pack(f"item-{row}" for row in range(items)).save(folder, "ids")
    (folder / "spec.json").write_text("{}")
    sizes = rng.integers(record // 2, record * 3 // 2, users)
    StringTable.pack(f"user-{row}" for row in range(users)).save(folder, USER_IDS)
    StringTable.pack_bytes(rng.bytes(size) for size in sizes).save(folder, USER_RECORDS)
    dims = {"items": items, "embedding": dim, "users": users}
    made = GenerationFolder(folder)
    made.seal(Manifest(generation, time.time(), "synthetic", describe(folder), dims))
    made.note_verified()  # as an export does
    return made


def untrained(parent: Path, log: Log, users: Log, seed: int) -> GenerationFolder:
    """Write a generation that can be served: random towers, a simple order, tables of `log`, records of `users`."""
    torch.manual_seed(seed)
    spec = log.catalogue.spec
    towers = Towers(len(log.catalogue), len(spec.tokens), max(1, len(spec.event_types)))
    stage = FirstStage.over(towers, build_tables(log, towers), log.exclude_seen)
    rows: dict[str, dict[str, float | None]] = {SERVED: {"recall@10": 0.0}, "popularity": {"recall@10": 0.0}}
    net = order_net(ORDERS[ORDER], width(stage.tables))
    model = TrainedModel(stage, net, Evaluation("rolling", 0, 0, 0, 0.0, rows))
    return export(parent, users, model, small(), Origin("scale"))


def some_users(log: Log, every: int) -> Log:
    """The events of one user in `every`."""
    kept = log[log.users % every == 0]
    return replace(kept, users=kept.users // every, user_ids=log.user_ids[::every])
