"""Benchmark of exact search, which finds the items nearest to a user's vector, beside faiss and torch.

`python -m loadtests.bench.kernels.search [--items 100k,1M] [--batches 1,8,32] [--threads 1] [--passes 9]`, after
`make .venv/installed-bench`. The others are faiss's IndexFlatIP and torch's product with topk. Items are random,
L2-normalised, 64 numbers each; users are near items. The command searches the best 500 of all items and of the items
that a filter keeps (`--keep .01,.1,.5`). It first checks that all ways find the same items. A pass is SERIES users by
one way, then by the next. With one thread the figures are CPU ms of the thread for each user, with more threads they
are elapsed ms.
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
from loadtests.options import items as item_count
from loadtests.options import number, several
from loadtests.slo import RESULTS
from recsys.filters.allowed_items import Allowed
from recsys.fresh_items.extended_column import NO_ROWS, ExtendedColumn
from recsys.retrieval.index import ExactIndex
from recsys.types import F32, I32, Bool

faiss = extra("faiss")
threadpool_limits = extra("threadpoolctl").threadpool_limits

DIM = 64
"""Numbers of an embedding."""

TOP = 500

SERIES = 32
"""Users of a pass: the first of them load the caches."""

NEAR = 1e-5
"""Scores this close may change places between two ways, which add in different orders."""

Search = Callable[[F32], tuple[F32, I32]]


def random_items(n: int, rng: np.random.Generator) -> F32:
    """Embeddings [n, DIM] with nothing learned in them."""
    items = rng.standard_normal((n, DIM), np.float32)
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    return items


def users_near(items: F32, count: int, rng: np.random.Generator) -> F32:
    """Users [count, DIM], each near an item."""
    noise = rng.standard_normal((count, items.shape[1]), np.float32) / 20
    near: F32 = items[rng.integers(0, len(items), count)] + noise
    return near


class Searches:
    """Ways to find the best TOP of the same items: scores and rows [B, TOP], best first. Ours is the first."""

    def __init__(self, items: F32) -> None:
        self._index = ExactIndex(items, np.ones(len(items), bool))
        self._flat = faiss.IndexFlatIP(DIM)
        self._flat.add(items)
        self._items = torch.from_numpy(items)

    def of_all(self) -> dict[str, Search]:
        """Ways by name, among all items."""

        def ours(users: F32) -> tuple[F32, I32]:
            rows, scores = self._index.scored(users, TOP)
            return scores, rows

        return {"ours": ours, "faiss": lambda users: self._flat.search(users, TOP), "torch": self._by_torch}

    def of_some(self, may: Bool) -> dict[str, Search]:
        """Ways by name, among the items that a filter keeps [n]."""
        allowed = Allowed.of(ExtendedColumn(may, NO_ROWS, np.zeros(0, bool)))
        chosen = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(np.packbits(may, bitorder="little")))

        def ours(users: F32) -> tuple[F32, I32]:
            rows, scores = self._index.scored(users, TOP, allowed=[allowed] * len(users))
            return scores, rows

        return {"ours": ours, "faiss": lambda users: self._flat.search(users, TOP, params=chosen)}

    @torch.inference_mode()
    def _by_torch(self, users: F32) -> tuple[F32, I32]:
        found = torch.topk(torch.from_numpy(users) @ self._items.T, TOP, dim=1)
        return found.values.numpy(), found.indices.numpy()


def compare(one: tuple[F32, I32], other: tuple[F32, I32]) -> None:
    """AssertionError if two searches found different rows, apart from rows that score as the last one does."""
    np.testing.assert_allclose(one[0], other[0], rtol=0, atol=NEAR)
    for scores, ours, theirs in zip(one[0], one[1], other[1], strict=True):
        sure = scores > scores[-1] + NEAR
        assert np.isin(ours[sure], theirs).all(), "A row is missing."
        assert len(np.unique(ours)) == len(ours)


def timed(ways: dict[str, Search], items: F32, batch: int, options: argparse.Namespace) -> dict[str, list[float]]:
    """Milliseconds a user of each way, pass by pass; every pass has its own users."""
    clock = time.thread_time if options.threads == 1 else time.perf_counter
    took: dict[str, list[float]] = {name: [] for name in ways}
    for each in range(options.passes + 1):
        users = users_near(items, max(SERIES, batch), np.random.default_rng(each))
        for name, search in ways.items():
            start = clock()
            for first in range(0, len(users), batch):
                search(users[first : first + batch])
            if each:  # the first pass warms
                took[name].append(1e3 * (clock() - start) / len(users))
    return took


def spread(numbers: list[float]) -> str:
    """The least, the median, and the third quartile."""
    _, middle, high = statistics.quantiles(numbers, n=4)
    return f"{min(numbers):.3f} {middle:.3f} {high:.3f}"


def measured(ways: dict[str, Search], items: F32, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Compare the ways, then print and return a row for each size of a batch."""
    ours, *others = ways
    print(f"{'batch':>6}" + "".join(f"{name:>22}" for name in (*ways, *(f"{name} / {ours}" for name in others))))
    rows = []
    for batch in options.batches:
        users = users_near(items, batch, np.random.default_rng(batch))
        for name in others:
            compare(ways[ours](users), ways[name](users))
        took = timed(ways, items, batch, options)
        ratios = {name: [theirs / mine for theirs, mine in zip(took[name], took[ours], strict=True)] for name in others}
        cells = [*map(spread, took.values()), *map(spread, ratios.values())]
        print(f"{batch:6}" + "".join(f"{cell:>22}" for cell in cells), flush=True)
        rows.append({"batch": batch, "ms": took, "ratios": ratios})
    return rows


def read_options() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.kernels.search", description=__doc__)
    parser.add_argument("--items", type=several(item_count), default="100k,1M")
    parser.add_argument("--batches", type=several(number(int, 1, 1024)), default="1,8,32")
    parser.add_argument("--threads", type=number(int, 1, 64), default=1)
    parser.add_argument("--passes", type=number(int, 2, 1000), default=9)
    parser.add_argument(
        "--keep", type=several(number(float, 0.001, 1)), default=".01,.1,.5", help="parts that filters keep"
    )
    options = parser.parse_args()
    if round(min(options.items) * min(options.keep)) < TOP:
        parser.error(f"--keep {min(options.keep):g} of {min(options.items):,} items leaves no {TOP} to find")
    return options


def main() -> None:
    """Run the command line."""
    options = read_options()
    torch.set_num_threads(options.threads)
    faiss.omp_set_num_threads(options.threads)
    threadpool_limits(options.threads)
    rng, tables = np.random.default_rng(0), []
    print(f"Top {TOP}, {options.threads} threads, ms a user: least, median, third quartile of {options.passes} passes")
    for n in options.items:
        items = random_items(n, rng)
        searches = Searches(items)
        print(f"\n{n:,} items")
        tables.append({"items": n, "keep": 1.0, "rows": measured(searches.of_all(), items, options)})
        for keep in options.keep:
            may = np.zeros(n, bool)
            may[rng.permutation(n)[: round(keep * n)]] = True
            print(f"\n{n:,} items, of which a filter keeps {may.sum():,}")
            tables.append({"items": n, "keep": keep, "rows": measured(searches.of_some(may), items, options)})
    RESULTS.mkdir(parents=True, exist_ok=True)
    written = {"top": TOP, "threads": options.threads, "tables": tables}
    (RESULTS / "search.json").write_text(json.dumps(written), encoding="utf-8")


if __name__ == "__main__":
    main()
