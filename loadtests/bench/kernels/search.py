"""Exact search beside faiss's IndexFlatIP and torch's product with topk: the same rows found, then timed in turns.

`python -m loadtests.bench.kernels.search [--items 100k,1M] [--batches 1,8,32] [--threads 1] [--passes 9]`, after `make
.venv/installed-bench`: items that are made up, L2-normalised, 64 numbers each; users near items; the best 500. A pass
is SERIES users, one batch after the other, by one way and then by the next. With one thread milliseconds of its CPU,
with more milliseconds on the clock. Then the same among the items that a filter keeps (`--keep .01,.1,.5`, parts of
them, at random), beside faiss with the same filter and our own search without one. And the same for filters by range,
another one for each user: new ones, as requests bring them, and ones that are kept since they came before.
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

from loadtests.bench.kernels.__main__ import DIM
from loadtests.bench.kernels.extras import extra
from loadtests.options import items as item_count
from loadtests.options import number, several
from loadtests.slo import RESULTS
from recsys.filters.allowed_items import Allowed, AllowedItems
from recsys.filters.compiled_conditions import NumberMatch, packed
from recsys.fresh_items.extended_column import NO_ROWS, ExtendedColumn
from recsys.generation.item_tables import ItemTables
from recsys.generation.packed_strings import StringTable
from recsys.model.context_lift import ContextLift, group_starts
from recsys.model.neighbour_tables import Neighbours
from recsys.retrieval.index import ExactIndex
from recsys.retrieval.int8_embeddings import rounded
from recsys.types import F32, F64, I32, Bool

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


class Ways:
    """To find the best TOP of the same items: scores and rows [B, TOP], best first."""

    def __init__(self, items: F32) -> None:
        self._index = ExactIndex(items, np.ones(len(items), bool))
        self._flat = faiss.IndexFlatIP(DIM)
        self._flat.add(items)
        self._everything = torch.from_numpy(items)

    def of_all(self) -> dict[str, Search]:
        """By name, of all items; ours first."""
        return {"ours": self._ours, "faiss": lambda users: self._flat.search(users, TOP), "torch": self._by_torch}

    def of_some(self, may: Bool) -> dict[str, Search]:
        """By name, of the items that may be found [n]; ours first. With our own search of all, which finds others."""
        allowed = Allowed.of(ExtendedColumn(may, NO_ROWS, np.zeros(0, bool)))
        chosen = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(np.packbits(may, bitorder="little")))

        def ours(users: F32) -> tuple[F32, I32]:
            rows, scores = self._index.scored(users, TOP, allowed=[allowed] * len(users))
            return scores, rows

        return {
            "ours": ours,
            "faiss": lambda users: self._flat.search(users, TOP, params=chosen),
            "of all": self._ours,
        }

    def of_ranges(self, prices: F64, keep: float) -> dict[str, Search]:
        """By name, of the items whose price is in another range for each user, which keeps such a part of them.

        new: each search has ranges that no search had before; they differ by less than two prices do.
        """
        allowed, asked = AllowedItems(tables_of(prices)), 0

        def ranges(users: F32, beyond: float = 0.0) -> F64:
            low = np.arange(len(users)) / len(users) * (1 - keep) + beyond
            return np.stack([low, low + keep], axis=1)

        def search(bounds: F64, users: F32) -> tuple[F32, I32]:
            filters = np.stack([packed([NumberMatch(0, ((low, high),))]) for low, high in bounds.tolist()])
            rows, scores = self._index.scored(users, TOP, allowed=allowed.of(filters))
            return scores, rows

        def new(users: F32) -> tuple[F32, I32]:
            nonlocal asked
            asked += 1
            return search(ranges(users, asked * 1e-13), users)

        def brute(users: F32) -> tuple[F32, I32]:
            scores = users @ self._everything.numpy().T
            low, high = ranges(users).T[:, :, None]
            scores[(prices < low) | (prices > high)] = -np.inf
            rows = np.argsort(-scores, axis=1, kind="stable")[:, :TOP].astype(np.int32)
            return np.take_along_axis(scores, rows, axis=1), rows

        return {"new": new, "kept": lambda users: search(ranges(users), users), "of all": self._ours, "brute": brute}

    def _ours(self, users: F32) -> tuple[F32, I32]:
        rows, scores = self._index.scored(users, TOP)
        return scores, rows

    @torch.inference_mode()
    def _by_torch(self, users: F32) -> tuple[F32, I32]:
        found = torch.topk(torch.from_numpy(users) @ self._everything.T, TOP, dim=1)
        return found.values.numpy(), found.indices.numpy()


def tables_of(prices: F64) -> ItemTables:
    """Tables of items with a price each, and of nothing else that a filter looks at."""
    n, names, none = len(prices), StringTable.pack(()), Neighbours.none(len(prices))
    embeddings = np.zeros((n, 1), np.float32)
    return ItemTables(
        ids=names,
        titles=names,
        embeddings=embeddings,
        rounded=rounded(embeddings),
        content=np.zeros((n, 1), np.int32),
        available=np.ones(n, bool),
        popularity=np.zeros((n, 4), np.float32),
        by_popularity=np.random.default_rng(0).permutation(n).astype(np.int32),
        age=np.zeros(n, np.float32),
        numbers=prices[:, None],
        covisit=none,
        follow=none,
        ease=none,
        context_lift=ContextLift(np.zeros((n, 0), np.float32), group_starts([])),
    )


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
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.kernels.search", description=__doc__)
    parser.add_argument("--items", type=several(item_count), default="100k,1M")
    parser.add_argument("--batches", type=several(number(int, 1, 1024)), default="1,8,32")
    parser.add_argument("--threads", type=number(int, 1, 64), default=1)
    parser.add_argument("--passes", type=number(int, 2, 1000), default=9)
    parser.add_argument(
        "--keep", type=several(number(float, 0.001, 1)), default=".01,.1,.5", help="parts that filters keep"
    )
    asked = parser.parse_args()
    if round(min(asked.items) * min(asked.keep)) < TOP:
        parser.error(f"--keep {min(asked.keep):g} of {min(asked.items):,} items leaves no {TOP} to find")
    return asked


def rows_of(
    ways: dict[str, Search], equal: list[str], items: F32, asked: argparse.Namespace, untimed: str = ""
) -> list[dict[str, Any]]:
    """Print and give a row for each size of a batch; what `equal` names has to find what the first way does."""
    alone = ways
    ways = {name: way for name, way in alone.items() if name != untimed}
    first, *others = ways
    print(f"{'batch':>6}" + "".join(f"{name:>22}" for name in (*ways, *(f"{name} / {first}" for name in others))))
    rows = []
    for count in asked.batches:
        users = users_near(items, count, np.random.default_rng(count))
        for name in equal:
            compare(alone[first](users), alone[name](users))
        took = timed(ways, items, count, asked.passes, asked.threads)
        ratios = {
            name: [theirs / mine for theirs, mine in zip(took[name], took[first], strict=True)] for name in others
        }
        cells = [*map(spread, took.values()), *map(spread, ratios.values())]
        print(f"{count:6}" + "".join(f"{cell:>22}" for cell in cells), flush=True)
        rows.append({"batch": count, "ms": took, "ratios": ratios})
    return rows


def main() -> None:
    """Run the command line."""
    asked = options()
    torch.set_num_threads(asked.threads)
    faiss.omp_set_num_threads(asked.threads)
    threadpool_limits(asked.threads)
    rng, tables = np.random.default_rng(0), []
    print(f"Top {TOP}, {asked.threads} threads, ms a user: median (middle half) of {asked.passes} passes")
    for n in asked.items:
        items = made_up(n, rng)
        ways = Ways(items)
        print(f"\n{n:,} items")
        tables.append({"items": n, "keep": 1.0, "rows": rows_of(ways.of_all(), ["faiss", "torch"], items, asked)})
        for keep in asked.keep:
            may = np.zeros(n, bool)
            may[rng.permutation(n)[: round(keep * n)]] = True
            print(f"\n{n:,} items, of which a filter keeps {may.sum():,}")
            tables.append({"items": n, "keep": keep, "rows": rows_of(ways.of_some(may), ["faiss"], items, asked)})
        prices = rng.random(n)
        for keep in asked.keep:
            print(f"\n{n:,} items, of which a range of each user's own keeps {keep:.0%}")
            rows = rows_of(ways.of_ranges(prices, keep), ["kept", "brute"], items, asked, untimed="brute")
            tables.append({"items": n, "keep": keep, "by": "range", "rows": rows})
    RESULTS.mkdir(parents=True, exist_ok=True)
    written = {"top": TOP, "threads": asked.threads, "tables": tables}
    (RESULTS / "search.json").write_text(json.dumps(written), encoding="utf-8")


if __name__ == "__main__":
    main()
