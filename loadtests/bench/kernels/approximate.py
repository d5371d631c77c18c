"""Approximate indexes (our clusters, faiss's HNSW and IVF) beside exact search, on learned embeddings.

`python -m loadtests.bench.kernels.approximate [--data data/movietweetings] [--epochs 4] [--items 0,100k,1M]
[--kinds clusters ...]`, after `make .venv/installed-bench`: the towers are trained on the log, and histories of its
users are the queries. A catalogue of more items than the log has (0: as it is) consists of copies. Each copy lies as
far from its item as the item's nearest neighbour, in a random direction. For each index the command prints the fastest
setting that finds .98 of the best 200, or the best setting if none does. CPU of one thread, one user and 32 at once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from loadtests.bench.kernels.__main__ import size
from loadtests.bench.kernels.extras import extra
from loadtests.slo import RESULTS
from recsys.model.user_encoder import UserEncoder
from recsys.retrieval.cluster_search import NearIndex
from recsys.retrieval.clusters import Clusters
from recsys.retrieval.index import ExactIndex
from recsys.types import F32, I32
from training.config import TowerConfig
from training.data import dataset
from training.data.interaction_log import encode
from training.tables.clustering import clustered
from training.tables.search_choice import RECALL, SOME, TOP, least_probes, recall
from training.towers.fit_towers import fit_towers, item_embeddings

faiss = extra("faiss")
threadpool_limits = extra("threadpoolctl").threadpool_limits

PASSES = 5


def learned(data: Path, epochs: int, seed: int = 0) -> tuple[F32, F32]:
    """Embeddings of the items of a log, and of users of it, by towers that were trained on it."""
    log = encode(dataset.read(data))
    towers = fit_towers(log, TowerConfig(epochs=epochs), seed).towers
    items = item_embeddings(towers, log.catalogue.content)
    some = np.random.default_rng(seed).choice(len(log.user_ids), min(SOME, len(log.user_ids)), replace=False)
    return items, UserEncoder(towers.user, items).encode(log.final_histories(np.sort(some)))


def widened(items: F32, n: int, rng: np.random.Generator) -> F32:
    """So many items, near the given ones."""
    flat = faiss.IndexFlatIP(items.shape[1])
    flat.add(items)
    nearest = flat.search(items, 2)[0][:, 1]
    apart = np.sqrt(np.maximum(2 - 2 * nearest, 0))
    of = rng.integers(0, len(items), n)
    noise = rng.standard_normal((n, items.shape[1]), np.float32)
    noise *= (apart[of] / np.linalg.norm(noise, axis=1))[:, None]
    wide: F32 = items[of] + noise
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    return wide


Search = Callable[[F32], I32]

OURS = "clusters"
"""The kind of index that a dataset gets with `search = "near"`."""


def settings(items: F32, kinds: list[str]) -> Iterator[tuple[str, str, float, Search]]:
    """Kinds of index, their settings from fast to thorough, and how many seconds one took to build."""
    d, n = items.shape[1], len(items)
    lists = int(4 * np.sqrt(n))
    for kind in (kind.replace("IVF", f"IVF{lists}") for kind in kinds):
        start = time.perf_counter()
        if kind == OURS:
            near = NearIndex(items, np.ones(n, bool), None, Clusters(*clustered(items, lists, 0), probes=1))
            built = time.perf_counter() - start
            probes = least_probes(lists, n)
            while probes <= lists // 2:
                yield f"{lists} {OURS}", f"probes {probes}", built, partial(near.through(probes).search, k=TOP)
                probes *= 2
            continue
        index = faiss.index_factory(d, kind, faiss.METRIC_INNER_PRODUCT)
        index.train(items[:: max(1, n // (40 * lists))])
        index.add(items)
        built = time.perf_counter() - start
        name = "efSearch" if kind.startswith("HNSW") else "nprobe"
        for value in (8, 16, 32, 64, 128, 256, 512, 1_024, 2_048):
            if value < lists or name == "efSearch":
                faiss.ParameterSpace().set_index_parameter(index, name, value)
                yield kind, f"{name} {value}", built, lambda users, index=index: index.search(users, TOP)[1]


def milliseconds(search: Search, users: F32) -> float:
    """Of one thread's CPU, a user."""
    start = time.thread_time()
    search(users)
    return 1e3 * (time.thread_time() - start) / len(users)


def compared(exact: Search, other: Search, users: F32, batch: int) -> dict[str, float]:
    """Ours beside another, in turns."""
    took: tuple[list[float], list[float]] = ([], [])
    for start in range(0, PASSES * batch, batch):
        some = users[start % (len(users) - batch) :][:batch]
        for side, search in zip(took, (exact, other), strict=True):
            side.append(milliseconds(search, some))
    ratios = [ours / theirs for ours, theirs in zip(*took, strict=True)]
    return {"ours": statistics.median(took[0]), "other": statistics.median(took[1]), "ratio": statistics.median(ratios)}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.kernels.approximate", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data/movietweetings"))
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--items", default="0,100k,1M")
    parser.add_argument("--kinds", nargs="+", default=[OURS, "IVF,Flat", "IVF,SQ8", "HNSW32,Flat"])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    threadpool_limits(1)
    rng, rows = np.random.default_rng(0), []
    real, users = learned(asked.data, asked.epochs)
    print(f"{len(real):,} items and {len(users):,} users of {asked.data}, {asked.epochs} epochs; best {TOP}, ms a user")
    for n in map(size, asked.items.split(",")):
        items = widened(real, n, rng) if n else real
        index = ExactIndex(items, np.ones(len(items), bool))
        best = index.search(users, TOP)
        chosen: dict[str, tuple[str, float]] = {}
        for kind, setting, built, search in settings(items, asked.kinds):
            if chosen.get(kind, ("", 0.0))[1] >= RECALL:
                continue
            chosen[kind] = setting, recall(search(users), best)
            if chosen[kind][1] >= RECALL:
                row = {"items": len(items), "kind": kind, "setting": setting, "recall": chosen[kind][1], "built": built}
                for batch in (1, 32):
                    row[f"batch {batch}"] = compared(partial(index.search, k=TOP), search, users, batch)
                rows.append(row)
                print(json.dumps(row), flush=True)
        for kind, (setting, found) in chosen.items():
            if found < RECALL:
                print(f"{len(items):,} items, {kind}: {found:.3f} at {setting}, the most that was tried", flush=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "approximate.json").write_text(json.dumps(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
