"""Data of a benchmark: a Redis or Valkey server with one or more generations, and the ids of the users in them.

A generation is a set of models and tables, here made from a generated log with untrained models. Generations are made
once for each number of items and kept in `.tandem`, because large ones take minutes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from loadtests.slo import ROOT
from recsys.generation.manifest import GenerationFolder
from recsys.generation.publisher import Publisher
from recsys.store.embedded_valkey import EmbeddedValkey
from recsys.store.redis.generation_store import RedisGenerationStore
from training.encode.interaction_log import encode
from training.generated_log import Shape, generate
from training.progress import RunProgress, terminal_progress
from training.read import dataset
from training.untrained_generation import some_users, untrained

HOME = ROOT / ".tandem" / "bench"
"""Generations, stores, and the files of peers."""

EVENTS_AN_ITEM = 20
"""Events for each item: enough to fill most rows of the tables of neighbours."""

USERS = 16_000
"""Users with a record in the generation, at most."""


@dataclass(frozen=True)
class World:
    """The URL of the store, its generations, of which the first is live, and the users with a record."""

    url: str
    generations: list[GenerationFolder]
    users: list[str]

    @property
    def generation(self) -> GenerationFolder:
        """The live generation."""
        return self.generations[0]


@contextmanager
def world(items: int, home: Path, count: int = 1) -> Iterator[World]:
    """Run a store with generations of so many items until the caller is done. The generations stay on disk.

    count: generations, which differ in their towers.
    """
    folder = home / f"{items}"
    if not (folder / "made").exists():
        shutil.rmtree(folder, ignore_errors=True)
        with terminal_progress() as progress:
            with progress.step(f"a log of {items:,} items"):
                generate(Shape(EVENTS_AN_ITEM * items, items), folder / "data")
            make_generations(folder / "data", folder, count, progress)
        (folder / "made").touch()
    with stored(folder) as place:
        yield place


@contextmanager
def stored(folder: Path) -> Iterator[World]:
    """Run a store with the generations of a folder until the caller is done."""
    generations = [GenerationFolder(each) for each in sorted((folder / "generations").iterdir())]
    embedded = EmbeddedValkey(folder / "store")
    try:
        url = embedded.ensure()
        store = RedisGenerationStore(url)
        if store.alias("live") != generations[0].manifest.id:
            with terminal_progress() as progress, progress.step("publishing"):
                for each in generations:
                    Publisher(store, folder / "trials").publish(each)
            store.promote(generations[0].manifest.id)
        store.close()
        with redis.Redis.from_url(url) as client:
            # The append-only file makes the store wait for the disk, up to 0.25 s, which has nothing to do with a peer.
            client.config_set("appendonly", "no")
        ids = generations[0].users()[0]
        yield World(url, generations, [ids[row] for row in range(len(ids))])
    finally:
        embedded.stop()


def make_generations(data: Path, folder: Path, count: int, progress: RunProgress) -> None:
    """Make generations of a dataset with untrained towers. A request costs as much as with trained ones."""
    with progress.step("reading the log"):
        log = encode(dataset.read(data))
    some = some_users(log, max(1, len(log.user_ids) // USERS))
    for seed in range(count):
        with progress.step(f"generation {seed + 1} of {count}"):
            untrained(folder / "generations", log, some, seed)
