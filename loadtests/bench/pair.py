"""Two generations over one log, and a deployment with a store of its own that serves the first of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtests.bench.peers.servers import Running, running
from loadtests.bench.world import World, made_up
from recsys.generation.manifest import GenerationFolder
from recsys.generation.publisher import Publisher
from recsys.store.embedded_valkey import EmbeddedValkey
from recsys.store.redis.generation_store import RedisGenerationStore
from training.progress import terminal_progress
from training.untrained_generation import untrained


def pair(count: int, home: Path) -> list[GenerationFolder]:
    """Two generations of so many items that differ in their towers. They are made once and kept in `home`."""
    folder = home / f"{count}"
    if not (folder / "made").exists():
        shutil.rmtree(folder, ignore_errors=True)
        with terminal_progress() as progress:
            log = made_up(count, folder / "data", progress)
            for seed in (0, 1):
                with progress.step(f"generation {seed + 1} of 2"):
                    untrained(folder / "generations", log, log, seed)
        (folder / "made").touch()
    return [GenerationFolder(each) for each in sorted((folder / "generations").iterdir())]


@contextmanager
def deployment(count: int, home: Path) -> Iterator[tuple[Running, RedisGenerationStore, list[GenerationFolder]]]:
    """Run a deployment that serves the first of a pair, with the second in its store, until the caller is done."""
    generations = pair(count, home)
    shutil.rmtree(home / "run", ignore_errors=True)
    embedded = EmbeddedValkey(home / "run" / "store")
    try:
        url = embedded.ensure()
        store = RedisGenerationStore(url)
        for each in generations:
            Publisher(store, home / "run" / "trials").publish(each)
        store.promote(generations[0].manifest.id)
        ids = generations[0].users()[0]
        place = World(url, generations[0], [ids[row] for row in range(len(ids))])
        (home / "run" / "users").write_text("\n".join(place.users), encoding="utf-8")
        # The defaults, but for a shorter interval between two looks at the alias. Impressions are logged.
        more = {"TANDEM_POLL_SECONDS": "0.5", "TANDEM_IMPRESSIONS_PER_SECOND": "20"}
        with running("split", place, home / "run" / "home", **more) as peer:
            yield peer, store, generations
        store.close()
    finally:
        embedded.stop()
