"""Generations with nothing learned in them, for tests of the store and for measurements."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch

from recsys.generation.manifest import USER_IDS, USER_RECORDS, GenerationFolder, Manifest, describe
from recsys.generation.packed_strings import StringTable
from recsys.generation.verification import Proof
from recsys.model.towers import Towers
from training import recipe
from training.config import small
from training.data.interaction_log import Log
from training.evaluation.metric_table import SERVED, Evaluation
from training.export import export
from training.first_stage import FirstStage
from training.ranker.simple_orders import ORDERS, order_by
from training.tables.item_tables import build_tables

ORDER = "popularity_decayed + 4 tower"
"""The ranker of an untrained generation."""


def random_generation(
    parent: Path, generation: str, items: int, dim: int, users: int, record: int = 1_200
) -> GenerationFolder:
    """Write a generation of random item tables and `users` records. It has the size of a real one and serves nothing.

    record: the mean size of a record in bytes; sizes vary by half.
    """
    rng = np.random.default_rng(items)
    folder = parent / generation
    folder.mkdir(parents=True)
    np.save(folder / "embeddings.npy", rng.standard_normal((items, dim), np.float32))
    np.save(folder / "popularity.npy", rng.random((items, 4), np.float32))
    np.save(folder / "available.npy", np.ones(items, bool))
    _save(folder, "ids", StringTable.pack(f"item-{row}" for row in range(items)))
    (folder / "spec.json").write_text("{}")
    sizes = rng.integers(record // 2, record * 3 // 2, users)
    _save(folder, USER_IDS, StringTable.pack(f"user-{row}" for row in range(users)))
    _save(folder, USER_RECORDS, StringTable.pack_bytes(rng.bytes(size) for size in sizes))
    dims = {"items": items, "embedding": dim, "users": users}
    manifest = Manifest(generation, time.time(), "synthetic", describe(folder), dims)
    GenerationFolder(folder).seal(manifest)
    Proof(GenerationFolder(folder)).note()  # as an export does
    return GenerationFolder(folder)


def untrained(parent: Path, log: Log, users: Log, seed: int) -> GenerationFolder:
    """Write a generation that serves: untrained towers, the tables of `log`, a simple order, and records of `users`."""
    torch.manual_seed(seed)
    spec = log.catalogue.spec
    towers = Towers(len(log.catalogue), len(spec.tokens), max(1, len(spec.event_types)))
    stage = FirstStage.over(towers, build_tables(log, towers), log.exclude_seen)
    evaluation = Evaluation("rolling", 0, 0, 0, 0.0, {SERVED: {"recall@10": 0.0}, "popularity": {"recall@10": 0.0}})
    trained = recipe.Trained(stage, order_by(ORDERS[ORDER]), evaluation)
    return export(parent, users, trained, small(), "scale")


def _save(folder: Path, name: str, table: StringTable) -> None:
    np.save(folder / f"{name}.data.npy", table.data)
    np.save(folder / f"{name}.offsets.npy", table.offsets)
