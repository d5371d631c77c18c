"""Reads from environment variables which models, engine and Redis a server of the benchmark uses, and opens them."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import torch

from loadtests.bench.peers.engine import Engine
from recsys.generation.manifest import GenerationFolder
from recsys.store.redis.user_store import RedisUserStore
from recsys.store.stored_types import UserState

GENERATION, STORE, ENGINE = "PEER_GENERATION", "PEER_STORE", "PEER_ENGINE"
"""Variables of a peer: the folder of the generation, the URL of the store, and "plain" or "kernels"."""


def engine() -> Engine:
    """The engine that the environment names, warm, on one thread and outside garbage collections."""
    torch.set_num_threads(1)
    folder = GenerationFolder(Path(os.environ[GENERATION]))
    found: Engine
    if os.environ[ENGINE] == "plain":
        import faiss

        from loadtests.bench.peers.plain import PlainRecommender

        faiss.omp_set_num_threads(1)
        found = PlainRecommender(folder)
    else:
        from loadtests.bench.peers.kernels import KernelRecommender

        found = KernelRecommender(folder)
    found.slate(UserState(None, [], None), 10)  # warm
    gc.collect()
    gc.freeze()
    return found


def users() -> RedisUserStore:
    """The store that the environment names."""
    return RedisUserStore(os.environ[STORE])
