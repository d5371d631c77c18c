"""Tests a publish while the primary of the store dies and a replica takes its place; `make chaos` tests the service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recsys.errors import TandemError
from recsys.generation import upload
from recsys.generation.manifest import GenerationFolder
from recsys.store.stored_types import LIVE
from tests.chaos.publishing_world import PublishingWorld, reads
from tests.chaos.replication.replicated_store import ReplicatedStore, wait_for
from tests.servers.store_server import StoreServer

NEW = "g2"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ReplicatedStore]:
    """A store with a failover."""
    store = ReplicatedStore(tmp_path / "store")
    yield store
    store.stop()


@pytest.mark.parametrize("moment", ["upload", "read-back"])
def test_a_publish_that_a_failover_ends_converges(
    store: ReplicatedStore, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next publishes of the same generation continue, and it is live, whole, and leaves nothing else behind."""
    world = PublishingWorld(store.start().url, tmp_path)
    world.make("g1", items=30, users=20)
    world.publish("g1")
    world.make(NEW, items=20_000, users=2_000)
    killed: list[StoreServer] = []

    def kill() -> None:
        if not killed:
            killed.append(store.primary())
            killed[0].kill()

    def check(folder: GenerationFolder) -> None:
        reads(folder)
        if moment == "read-back":
            kill()

    if moment == "upload":
        monkeypatch.setattr(upload.Upload, "_upload_users", _first(kill, upload.Upload._upload_users))
    with pytest.raises(TandemError):
        world.publish(NEW, check)
    wait_for(lambda: _publishes(world, check))
    assert killed
    assert world.alias(LIVE) == NEW
    world.check_whole(NEW)
    assert world.nameless() == set()
    world.close()


def _first(kill: Callable[[], None], method: Callable[..., None]) -> Callable[..., None]:
    def run(*args: object) -> None:
        kill()
        method(*args)

    return run


def _publishes(world: PublishingWorld, check: Callable[[GenerationFolder], None]) -> bool:
    try:
        world.publish(NEW, check)
    except TandemError:
        return False
    return True
