"""The world of a measurement: a generation of a generated log, and a store that holds it.

A world is made once for each size and kept in `.tandem/bench`, because a large one takes minutes.
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
from training.data import dataset
from training.data.generated_log import Shape, generate
from training.data.interaction_log import Log, encode
from training.progress import RunProgress, terminal_progress
from training.untrained_generation import some_users, untrained

HOME = ROOT / ".tandem" / "bench"
"""Worlds, and the files of peers."""

EVENTS_AN_ITEM = 20
"""Events for each item: enough to fill most rows of the tables of neighbours."""

USERS = 16_000
"""Users with a record in the generation, at most."""


@dataclass(frozen=True)
class World:
    """The URL of the store, the live generation, and the users with a record."""

    url: str
    generation: GenerationFolder
    users: list[str]


@contextmanager
def world(items: int, home: Path) -> Iterator[World]:
    """Run a store with a live generation of so many items until the caller is done. The generation stays on disk."""
    folder = home / f"{items}"
    if not (folder / "made").exists():
        shutil.rmtree(folder, ignore_errors=True)
        make(items, folder)
        (folder / "made").touch()
    [made] = (folder / "generations").iterdir()
    generation = GenerationFolder(made)
    embedded = EmbeddedValkey(folder / "store")
    try:
        url = embedded.ensure()
        store = RedisGenerationStore(url)
        if store.alias("live") != generation.manifest.id:
            with terminal_progress() as progress, progress.step("publishing it"):
                Publisher(store, folder / "trials").publish(generation)
            store.promote(generation.manifest.id)
        store.close()
        with redis.Redis.from_url(url) as client:
            # The append-only file makes the store wait for the disk, up to 0.25 s, which has nothing to do with a peer.
            client.config_set("appendonly", "no")
        ids = generation.users()[0]
        yield World(url, generation, [ids[row] for row in range(len(ids))])
    finally:
        embedded.stop()


def make(items: int, folder: Path) -> GenerationFolder:
    """Make a generation of so many items with untrained towers. A request costs as much as with trained ones."""
    with terminal_progress() as progress:
        log = made_up(items, folder / "data", progress)
        users = some_users(log, max(1, len(log.user_ids) // USERS))
        with progress.step("a generation of it"):
            return untrained(folder / "generations", log, users, 0)


def made_up(items: int, folder: Path, progress: RunProgress) -> Log:
    """Write a generated log over so many items to `folder`, and read it."""
    with progress.step(f"a log of {items:,} items"):
        generate(Shape(EVENTS_AN_ITEM * items, items), folder)
    with progress.step("reading the log"):
        return encode(dataset.read(folder))
