"""Benchmark of the Numba kernels for user vectors, features and ranking scores beside numpy and torch, on one thread.

`python -m loadtests.bench.kernels [--items 100k]` uses random tables and users, and first checks that the results are
equal. It prints the thread's CPU time for each user: the least and the median of passes in which both take turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from loadtests.bench.kernels import extra
from loadtests.options import items
from loadtests.slo import RESULTS
from recsys import reference
from recsys.generation.item_tables import ItemTables
from recsys.generation.packed_strings import StringTable
from recsys.kernels.feature_kernels import ROW
from recsys.kernels.quantization import rounded
from recsys.kernels.recent_events import HOUR, RecentEvents, item_events
from recsys.model import features
from recsys.model.context_lift import ContextLift, group_starts
from recsys.model.neighbour_tables import Neighbours
from recsys.model.ranker import RankerNet, compiled_net
from recsys.model.towers import UserTower
from recsys.model.user_encoder import UserEncoder
from recsys.reference import encode
from recsys.types import CANDIDATES, F32, HISTORY_LENGTH, PAD, Candidates, Histories

threadpool_limits = extra("threadpoolctl").threadpool_limits

WIDTH, DIM, EVENTS = 128, 64, 1_000_000

MAY_SWAP = 0.005
"""Share of the ranks by votes that may differ between two ways to add the same numbers."""


def tables_of(n: int, rng: np.random.Generator) -> ItemTables:
    """Random tables of a realistic size."""

    def neighbours() -> Neighbours:
        weights = -np.sort(-rng.random((n, WIDTH), np.float32), axis=1)
        return Neighbours(rng.integers(0, n, (n, WIDTH), np.int32), weights)

    starts, names = group_starts([3]), StringTable.pack(())
    embeddings = rng.standard_normal((n, DIM), np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return ItemTables(
        ids=names,
        titles=names,
        embeddings=embeddings,
        rounded=rounded(embeddings),
        content=rng.integers(0, 60, (n, 8), np.int32),
        available=np.ones(n, bool),
        popularity=rng.random((n, 4), np.float32) * 100,
        by_popularity=np.arange(n, dtype=np.int32),
        age=rng.random(n, np.float32) * 400,
        numbers=rng.random((n, 1)),
        own=np.zeros((n, 0), np.float32),
        covisit=neighbours(),
        follow=neighbours(),
        ease=neighbours(),
        context_lift=ContextLift(rng.standard_normal((n, int(starts[-1])), np.float32), starts),
    )


def queries(tables: ItemTables, batch: int, rng: np.random.Generator) -> tuple[Histories, Candidates]:
    """Long histories, and candidates of which many are neighbours of the newest items."""
    past = Histories.empty(np.full(batch, 1.7e9))
    past.context[:] = (5, 3, 1, 0, 0, 0)
    items = np.full((batch, CANDIDATES), PAD, np.int32)
    for query in range(batch):
        history = rng.integers(0, len(tables), HISTORY_LENGTH, np.int32)
        past.put(query, history, np.linspace(1.6e9, 1.7e9, len(history)), np.zeros(len(history), np.uint8))
        near = tables.covisit.rows[history[-3:]].ravel()
        found = np.unique(np.concatenate([near, rng.integers(0, len(tables), CANDIDATES, np.int32)]))
        items[query] = rng.permutation(found)[:CANDIDATES]
    tower = -np.sort(-rng.random(items.shape, np.float32), axis=1)
    return past, Candidates(items, tower, rng.integers(0, 128, items.shape, np.uint16))


def events_of(n: int, now: float, rng: np.random.Generator) -> RecentEvents:
    """A day of EVENTS events as serving has them, of items of which a few have most."""
    tables = []
    for step, steps in ((1, 65), (HOUR, 25)):
        count = EVENTS * step * steps // (24 * HOUR)
        spans, items = rng.integers(0, steps, count), (n * rng.random(count) ** 4).astype(np.int64)
        entries, counts = np.unique(spans * n + items, return_counts=True)
        tables.append(item_events(entries % n, int(now / 60) // step * step + (entries // n - steps) * step, counts, n))
    return RecentEvents(tables[0], tables[1])


def rows(tables: ItemTables, batch: int, rng: np.random.Generator) -> dict[str, tuple[Callable[[], Any], ...]]:
    """By name: the usual implementation, and ours. AssertionError if their results differ."""
    past, candidates = queries(tables, batch, rng)
    net = RankerNet().eval()
    recent = events_of(len(tables), float(past.now[0]), rng)
    x = features.columns(tables, past, candidates, recent)
    net.mean[:], net.deviation[:] = torch.from_numpy(x.mean(axis=(0, 2))), torch.from_numpy(x.std(axis=(0, 2)) + 1e-3)
    compiled = compiled_net(net)

    def plain_net() -> F32:
        with torch.inference_mode():
            scores: F32 = net(torch.from_numpy(np.swapaxes(x, 1, 2))).numpy()
        return scores

    tower = UserTower(DIM, 3, contexts=[4]).eval()
    encoder = UserEncoder(tower, tables.embeddings)
    pairs: dict[str, tuple[Callable[[], Any], ...]] = {
        "user tower": (lambda: encode(tower, tables.embeddings, past), lambda: encoder.encode(past)),
        "features": (
            lambda: reference.build(tables, past, candidates, recent),
            lambda: features.build(tables, past, candidates, recent),
        ),
        "ranker's net": (plain_net, lambda: compiled(x)),
    }
    for name, (usual, ours) in pairs.items():
        expected, got = usual(), ours()
        if name == "features":
            expected, got = (_ranks_that_may_swap(each, expected, got) for each in (expected, got))
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5, err_msg=name)
    return pairs


def _ranks_that_may_swap(table: F32, expected: F32, got: F32) -> F32:
    """The features [B, N, F] of either side with the ranks of votes sorted, if few ranks differ.

    Candidates whose votes differ only by rounding may be in either order.
    """
    ranks = [ROW["covisit_rank"], ROW["ease_rank"]]
    if (expected[..., ranks] != got[..., ranks]).mean() < MAY_SWAP:
        table = table.copy()
        table[..., ranks] = np.sort(table[..., ranks], axis=1)
    return table


def timed(pairs: dict[str, tuple[Callable[[], Any], ...]], batch: int, passes: int) -> dict[str, list[list[float]]]:
    """Microseconds a query of each implementation, pass by pass."""
    took: dict[str, list[list[float]]] = {name: [[], []] for name in pairs}
    for _ in range(passes):
        for name, both in pairs.items():
            for side, work in enumerate(both):
                start = time.thread_time()
                work()
                took[name][side].append(1e6 * (time.thread_time() - start) / batch)
    return took


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.kernels", description=__doc__)
    parser.add_argument("--items", type=items, default=100_000)
    parser.add_argument("--passes", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(1)
    threadpool_limits(1)  # numpy's own
    rng = np.random.default_rng(0)
    tables, figures = tables_of(options.items, rng), []
    print(f"{options.items:,} items, microseconds of CPU a query: least (median) of {options.passes} passes")
    print(f"{'':16}{'batch':>6}{'usual':>16}{'ours':>16}{'ratio':>8}")
    for batch in (1, 8, 16):
        for name, (usual, ours) in timed(rows(tables, batch, rng), batch, options.passes).items():
            sides = [f"{min(side):.0f} ({statistics.median(side):.0f})" for side in (usual, ours)]
            ratio = statistics.median(usual) / statistics.median(ours)
            print(f"{name:16}{batch:6}{sides[0]:>16}{sides[1]:>16}{ratio:8.1f}")
            figures.append({"name": name, "batch": batch, "usual": usual, "ours": ours, "ratio": ratio})
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "kernels.json").write_text(json.dumps({"items": options.items, "rows": figures}), encoding="utf-8")


if __name__ == "__main__":
    main()
