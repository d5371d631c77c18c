"""Exact search beside faiss's IndexFlatIP and torch's product with topk: the same rows found, then timed in turns.

`python -m loadtests.search [--items 100k,1M] [--batches 1,8,32] [--threads 1] [--passes 9]`, after `make
.venv/installed-bench`: items that are made up, L2-normalised, 64 numbers each; users near items; the best 500. A pass
is SERIES users, one batch after the other, by one way and then by the next. With one thread milliseconds of its CPU,
with more milliseconds on the clock.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from loadtests.extras import extra
from loadtests.kernels import DIM, size
from loadtests.slo import RESULTS
from recsys.index import ExactIndex
from recsys.types import F32, I32

faiss = extra("faiss")
threadpool_limits = extra("threadpoolctl").threadpool_limits

TOP = 500

SERIES = 32
"""So many that what the other ways left in the caches counts once and not for each call."""

NEAR = 1e-5
"""Scores this close may change places from one way to another: each adds up in an order of its own."""

Search = Callable[[F32], tuple[F32, I32]]


def made_up(n: int, rng: np.random.Generator) -> F32:
    """Embeddings [n, DIM] with nothing learned in them."""
    items = rng.standard_normal((n, DIM), np.float32)
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    return items


def users_near(items: F32, count: int, rng: np.random.Generator) -> F32:
    """Users [count, DIM], each near an item."""
    noise = rng.standard_normal((count, items.shape[1]), np.float32) / 20
    near: F32 = items[rng.integers(0, len(items), count)] + noise
    return near


def ways(items: F32) -> dict[str, Search]:
    """By name, ways to find the best TOP of items: scores and rows [B, TOP], best first; ours first."""
    index, flat, everything = (
        ExactIndex(items, np.ones(len(items), bool)),
        faiss.IndexFlatIP(DIM),
        torch.from_numpy(items),
    )
    flat.add(items)

    def ours(users: F32) -> tuple[F32, I32]:
        rows, scores = index.scored(users, TOP)
        return scores, rows

    @torch.inference_mode()
    def by_torch(users: F32) -> tuple[F32, I32]:
        found = torch.topk(torch.from_numpy(users) @ everything.T, TOP, dim=1)
        return found.values.numpy(), found.indices.numpy()

    return {"ours": ours, "faiss": lambda users: flat.search(users, TOP), "torch": by_torch}


def compare(one: tuple[F32, I32], other: tuple[F32, I32]) -> None:
    """AssertionError where two searches found other rows, apart from those that score as the last one does."""
    np.testing.assert_allclose(one[0], other[0], rtol=0, atol=NEAR)
    for of, mine, theirs in zip(one[0], one[1], other[1], strict=True):
        sure = of > of[-1] + NEAR
        assert np.isin(mine[sure], theirs).all(), "A row is missing."
        assert len(np.unique(mine)) == len(mine)


def timed(of: dict[str, Search], items: F32, batch: int, passes: int, threads: int) -> dict[str, list[float]]:
    """Milliseconds a user of each way, pass by pass; every pass has users of its own."""
    clock = time.thread_time if threads == 1 else time.perf_counter
    took: dict[str, list[float]] = {name: [] for name in of}
    for turn in range(passes + 1):
        users = users_near(items, max(SERIES, batch), np.random.default_rng(turn))
        for name, search in of.items():
            start = clock()
            for first in range(0, len(users), batch):
                search(users[first : first + batch])
            if turn:  # the first pass warms
                took[name].append(1e3 * (clock() - start) / len(users))
    return took


def spread(numbers: list[float], digits: int = 2) -> str:
    """The median, and between what the middle half lies."""
    low, middle, high = statistics.quantiles(numbers, n=4)
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def options() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.search", description=__doc__)
    parser.add_argument("--items", default="100k,1M")
    parser.add_argument("--batches", default="1,8,32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--passes", type=int, default=9)
    return parser.parse_args()


def main() -> None:
    """Run the command line."""
    asked = options()
    torch.set_num_threads(asked.threads)
    faiss.omp_set_num_threads(asked.threads)
    threadpool_limits(asked.threads)
    rng, told = np.random.default_rng(0), []
    print(f"Top {TOP}, {asked.threads} threads, ms a user: median (middle half) of {asked.passes} passes")
    print(
        f"{'items':>9}{'batch':>6}"
        + "".join(f"{name:>22}" for name in ("ours", "faiss", "torch", "faiss / ours", "torch / ours"))
    )
    for n in map(size, asked.items.split(",")):
        items = made_up(n, rng)
        of = ways(items)
        for count in map(int, asked.batches.split(",")):
            users = users_near(items, count, rng)
            for name in ("faiss", "torch"):
                compare(of["ours"](users), of[name](users))
            took = timed(of, items, count, asked.passes, asked.threads)
            ratios = {
                name: [theirs / mine for theirs, mine in zip(took[name], took["ours"], strict=True)]
                for name in ("faiss", "torch")
            }
            cells = [*map(spread, took.values()), *map(spread, ratios.values())]
            print(f"{n:9,}{count:6}" + "".join(f"{cell:>22}" for cell in cells), flush=True)
            told.append({"items": n, "batch": count, "threads": asked.threads, "ms": took, "ratios": ratios})
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "search.json").write_text(json.dumps({"top": TOP, "rows": told}), encoding="utf-8")


if __name__ == "__main__":
    main()
