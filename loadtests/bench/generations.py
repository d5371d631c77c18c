"""Benchmark of publishing and loading a generation, which is one trained set of models and tables, in Redis.

`python -m loadtests.bench.generations` compares both with plain writes and reads of the same bytes. It uses a store of
its own and a random generation. The ways take turns, so other work on the machine affects all of them. A ratio is of
one pass.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from loadtests.slo import RESULTS
from recsys.generation.cache import GenerationCache
from recsys.generation.manifest import USER_RECORDS, GenerationFolder
from recsys.generation.publisher import Publisher
from recsys.store.embedded_valkey import EmbeddedValkey
from recsys.store.needed_memory import predict
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.stored_types import CHUNK
from training.report.page import Table
from training.untrained_generation import random_generation

PUBLISH_LIMIT, LOAD_LIMIT = 1.5, 2.0
"""Limits, as multiples of the plain writes and the plain reads."""

BATCH = 16
"""SETs and GETs in one plain pipeline."""


class Bench:
    """Writes and reads the same bytes by pipelines, by the publisher and by the cache."""

    def __init__(self, url: str, folder: GenerationFolder, scratch: Path) -> None:
        self.client = redis.Redis.from_url(url)
        self.store = RedisGenerationStore(url)
        self.folder = folder
        self.scratch = scratch
        self.manifest = folder.manifest
        files = [(folder.path / name).read_bytes() for name in self.manifest.stored_parts]
        if self.manifest.dims["users"]:
            files += [(folder.path / f"{USER_RECORDS}.data.npy").read_bytes()]
        self.values = [data[at : at + CHUNK] for data in files for at in range(0, len(data), CHUNK)]

    def one_pass(self) -> dict[str, float]:
        """Seconds of each way, and the ratios."""
        took = {"plain write": self._timed(self._plain_write), "plain read": self._timed(self._plain_read)}
        self._empty()
        took["publish"] = self._timed(lambda: Publisher(self.store, self.scratch).publish(self.folder))
        took["load"] = self._timed(self._load)
        self._empty()
        took["publish / plain write"] = took["publish"] / took["plain write"]
        took["load / plain read"] = took["load"] / took["plain read"]
        return took

    def _timed(self, work: Callable[[], object]) -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    def _plain_write(self) -> None:
        for at in range(0, len(self.values), BATCH):
            with self.client.pipeline(transaction=False) as pipe:
                for n, value in enumerate(self.values[at : at + BATCH], at):
                    pipe.set(f"plain:{n}", value)
                pipe.execute()

    def _plain_read(self) -> list[bytes]:
        values: list[bytes] = []
        for at in range(0, len(self.values), BATCH):
            with self.client.pipeline(transaction=False) as pipe:
                for n in range(at, min(at + BATCH, len(self.values))):
                    pipe.get(f"plain:{n}")
                values += pipe.execute()
        return values

    def _load(self) -> None:
        GenerationCache(self.scratch / "cache", self.store).fetch(self.manifest.id)

    def _empty(self) -> None:
        """Empty the store and the cache, and wait until the store has rewritten its file."""
        self.client.flushall()
        shutil.rmtree(self.scratch / "cache", ignore_errors=True)
        while self.client.info("persistence")["aof_rewrite_in_progress"]:
            time.sleep(0.05)


@contextmanager
def bench(items: int, dim: int, users: int, folder: Path | None) -> Iterator[Bench]:
    """Run a store with a generation until the caller is done."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        home = Path(temporary)
        embedded = EmbeddedValkey(home / "store")
        try:
            url = embedded.ensure()
            yield Bench(url, random_generation(home, "g-bench", items, dim, users), home / "scratch")
        finally:
            embedded.stop()


def table(passes: list[dict[str, float]], megabytes: float) -> str:
    """Least, median and most of every row, for the terminal."""
    rows = []
    for name in passes[0]:
        values = [took[name] for took in passes]
        rows.append([name, *(f"{value:.2f}" for value in (min(values), statistics.median(values), max(values)))])
    return Table(f"{megabytes:,.0f} MiB, {len(passes)} passes, seconds", ["", "min", "median", "max"], rows).text()


def main() -> int:
    """Run the command line; 0 if both medians are within their limits."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.generations", description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--users", type=int, default=0, help="with records of 1,200 bytes on average")
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="a folder for the store and the generation")
    options = parser.parse_args()
    with bench(options.items, options.dim, options.users, options.folder) as timing:
        timing.one_pass()  # the first touches every page for the first time
        passes = [timing.one_pass() for _ in range(options.passes)]
        size, predicted = timing.manifest.size, predict(timing.manifest)
    print(table(passes, size / 2**20))
    print(f"predicted for Redis: {predicted / 2**20:,.0f} MiB")
    publish = statistics.median(took["publish / plain write"] for took in passes)
    load = statistics.median(took["load / plain read"] for took in passes)
    RESULTS.mkdir(parents=True, exist_ok=True)
    result = {"items": options.items, "dim": options.dim, "users": options.users, "bytes": size, "passes": passes}
    (RESULTS / "generations.json").write_text(json.dumps(result, indent=2), encoding="utf-8")
    return 0 if publish <= PUBLISH_LIMIT and load <= LOAD_LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
