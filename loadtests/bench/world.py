"""The world that peers are measured in: a generation of a generated log, and a store that serves it.

Made once for each size and kept in `.tandem/bench`, since a large one takes minutes; `rm -r` it to have it made anew.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from loadtests.slo import ROOT
from loadtests.synthetic import untrained
from recsys.generation import GenerationFolder
from recsys.publisher import Publisher
from recsys.store.embedded import EmbeddedStore
from recsys.store.redis import RedisGenerationStore
from training import dataset
from training.bench import some_users
from training.generate import Shape, generate
from training.log import Log, encode
from training.watch import Watch, watching

HOME = ROOT / ".tandem" / "bench"
"""Where worlds are kept, and what peers keep."""

EVENTS_AN_ITEM = 20
"""Enough that most items have all the neighbours that a table holds."""

USERS = 16_000
"""With a record in the generation, at most."""


@dataclass(frozen=True)
class World:
    """Where the store answers, what is live in it, and who may ask."""

    url: str
    generation: GenerationFolder
    users: list[str]


@contextmanager
def world(items: int, home: Path) -> Iterator[World]:
    """A store that serves a generation of so many items and writes nothing more to the disk.

    It ends with the caller, the generation stays.
    """
    folder = home / f"{items}"
    if not (folder / "made").exists():
        shutil.rmtree(folder, ignore_errors=True)
        make(items, folder)
        (folder / "made").touch()
    [made] = (folder / "generations").iterdir()
    generation = GenerationFolder(made)
    embedded = EmbeddedStore(folder / "store")
    try:
        url = embedded.ensure()
        store = RedisGenerationStore(url)
        if store.alias("live") != generation.manifest.id:
            with watching() as watch, watch("publishing it"):
                Publisher(store, folder / "trials").publish(generation)
            store.promote(generation.manifest.id)
        store.close()
        with redis.Redis.from_url(url) as client:
            # What a deployment says of itself is written to this machine's disk else, and while that is slow the store
            # answers nobody: a quarter of a second, of which a figure tells nothing about who is measured.
            client.config_set("appendonly", "no")
        ids = generation.users()[0]
        yield World(url, generation, [ids[row] for row in range(len(ids))])
    finally:
        embedded.stop()


def make(items: int, folder: Path) -> GenerationFolder:
    """A generation of so many items with untrained towers; what a request costs is the same."""
    with watching() as watch:
        log = made_up(items, folder / "data", watch)
        users = some_users(log, max(1, len(log.user_ids) // USERS))
        with watch("a generation of it"):
            return untrained(folder / "generations", log, users, 0)


def made_up(items: int, folder: Path, watch: Watch) -> Log:
    """An interactions log over so many items, written to `folder` and read again."""
    with watch(f"a log of {items:,} items"):
        generate(Shape(EVENTS_AN_ITEM * items, items), folder)
    with watch("reading the log"):
        return encode(dataset.read(folder))
