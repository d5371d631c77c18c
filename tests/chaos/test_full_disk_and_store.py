"""Tests of room for models in Redis and on disk: nothing is left half written, and earlier models stay.

The disk is a small file system of the test's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from flows.operate import pinning
from recsys.environment import Environment
from recsys.errors import GenerationError, SettingsError, StoreError, StoreFull
from recsys.generation.manifest import GenerationFolder
from recsys.generation.publisher import Publisher
from recsys.store import RedisGenerationStore
from recsys.store.needed_memory import mebibytes, predict
from recsys.store.stored_types import LIVE
from tests.chaos.faults.disk_faults import fill, may_mount, small_disk
from tests.chaos.publishing_world import PublishingWorld
from training.untrained_generation import random_generation


def test_the_predicted_memory_is_right(world: PublishingWorld) -> None:
    """The prediction from the manifest is within 15 % of the growth of the server's memory."""
    folder = world.make("g1", items=20_000, users=10_000, record=1_200)
    world.make("g0", 100, 10)
    world.publish("g0")  # the first script takes memory that belongs to no generation
    before = world.used()
    store = RedisGenerationStore(world.url)
    Publisher(store, world.home).publish(folder)
    store.close()
    taken = world.used() - before
    assert predict(folder.manifest) == pytest.approx(taken, rel=0.15)


def test_over_the_budget_nothing_is_written(world: PublishingWorld) -> None:
    """The error has both figures and the fix. Other generations count; stored parts of this generation do not."""
    world.make("g1", 20_000, 100)
    world.publish("g1")
    size = predict(world.folder("g1").manifest)
    folder = world.make("g2", 20_001, 100)
    before = set(world.client.keys("*"))
    tight = Publisher(world.store, world.home, budget=int(1.5 * size))
    needed, budget = mebibytes(size), mebibytes(1.5 * size)
    with pytest.raises(StoreFull, match=rf"would take {needed} .+_BUDGET is {budget}, .+ take .+delete"):
        tight.publish(folder)
    assert set(world.client.keys("*")) == before
    wide = Publisher(world.store, world.home, budget=int(2.1 * size))
    for _ in range(2):
        wide.publish(folder)


def test_over_maxmemory_nothing_is_written(world: PublishingWorld) -> None:
    """The server's free memory is read before the first write."""
    world.make("g1", 100, 10)
    world.publish("g1")
    folder = world.make("g2", 20_000, 100)
    world.limit("noeviction", 2 << 20)
    before = set(world.client.keys("*"))
    with pytest.raises(StoreFull, match=r"would take 7\.\d MiB more .+ left of its maxmemory .+delete"):
        Publisher(world.store, world.home).publish(folder)
    assert set(world.client.keys("*")) == before


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        ("noeviction", r"is full\. Raise its maxmemory, or delete generations"),
        ("allkeys-lru", r"lacks chunk|not whole|is full|paused for longer"),
    ],
)
def test_a_server_that_runs_out_of_memory_gets_no_part_of_a_generation(
    world: PublishingWorld, monkeypatch: pytest.MonkeyPatch, policy: str, sentence: str
) -> None:
    """The server does not report its limit. It refuses a write, or evicts chunks while others are written."""
    world.make("g1", 100, 10)
    world.publish("g1")
    folder = world.make("g2", 60_000, 100)
    monkeypatch.setattr(world.store, "memory_use", lambda: None)
    world.limit(policy, 4 << 20)
    with pytest.raises((GenerationError, StoreFull), match=sentence):
        Publisher(world.store, world.home).publish(folder)
    assert world.store.read_manifest("g2") is None
    if policy == "noeviction":
        assert world.client.keys("gen:g2:*") == []
        assert world.client.get("publishing") is None
        world.check_whole("g1")
        assert world.alias(LIVE) == "g1"
    else:
        with pytest.raises(GenerationError):
            world.store.promote("g2")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk for BentoML's store of models below `tmp_path / "home"`."""
    if not may_mount(tmp_path / "probe"):
        pytest.skip("needs root and the right to mount a file system")
    with small_disk(tmp_path / "home" / "bentoml", 16) as mounted:
        yield mounted


def test_a_full_disk_is_an_error_and_leaves_no_part(disk: Path, tmp_path: Path) -> None:
    """Earlier models stay, no part of the new one is left, and with room the same call succeeds."""
    environment, models = Environment(tmp_path / "home", None), disk / "models" / "tandem"
    for name in ("g1", "g2"):
        random_generation(environment.home / "generations", name, 5_000, 64, 10)
    with ProcessPoolExecutor(1, get_context("spawn")) as process:  # BentoML reads its home once in a process
        process.submit(pinning.pin, "g1", environment).result()
        ballast = fill(disk)
        with pytest.raises((StoreError, SettingsError), match="No space left"):
            process.submit(pinning.pin, "g2", environment).result()
        assert {path.name for path in models.iterdir() if path.is_dir()} == {"g1"}
        GenerationFolder(models / "g1").verify()
        ballast.unlink()
        assert process.submit(pinning.pin, "g2", environment).result() == "tandem:g2"
    GenerationFolder(models / "g2").verify()
