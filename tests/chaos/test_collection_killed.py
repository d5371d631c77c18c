"""Tests that each event of the log is in the files of collected events once: after kills, with two collectors at once,
on a full disk, and when the store restarts.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter
from pathlib import Path

import pytest

from flows.collection import collect_events as module
from recsys.errors import LocationError
from tests.chaos.event_sender import add_yesterday, collect, collected, forget, forget_in_files, logged, send
from tests.chaos.faults.disk_faults import fill, may_mount, small_disk
from tests.chaos.kill_points import die_at
from tests.chaos.publishing_world import PublishingWorld


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of few events, so that a run writes several."""
    monkeypatch.setattr(module, "EVENTS_OF_FILE", 4)


STEPS = pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.slow)])
"""`make test` takes every fourth point, so that it takes points of each kind."""


@STEPS
def test_a_kill_at_any_point_loses_and_repeats_no_event(world: PublishingWorld, step: int) -> None:
    """The points are before, halfway and after each command, and at each write of a file. Events arrive meanwhile."""
    folder = world.home / "work" / "events"
    folder.mkdir(parents=True)
    add_yesterday(world, 6)
    send(world.url, *"abc")
    world.remember()
    total, _ = die_at(0, lambda: run(world, folder))
    for point in range(1, total + 1, step):
        world.restore()
        count, place = die_at(point, lambda: run(world, folder))
        assert count == point
        with world.died_at(place):
            send(world.url, "later")
            assert collect(world.url, folder) == 0
            assert collected(folder) == logged(world)
            assert len(collected(folder)) == 10


@STEPS
def test_a_kill_at_any_point_leaves_a_deleted_user_to_the_next_run(world: PublishingWorld, step: int) -> None:
    """The rows of other users stay, each once, in the files of a day that is over too."""
    folder = world.home / "work" / "events"
    folder.mkdir(parents=True)
    add_yesterday(world, 6)
    send(world.url, *"ab", user="gone")
    send(world.url, *"cd")
    collect(world.url, folder)
    forget(world.url, "gone")
    world.remember()
    assert sum(collected(folder).values()) == 10
    total, _ = die_at(0, lambda: forget_in_files(world.url, folder))
    for point in range(1, total + 1, step):
        world.restore()
        _, place = die_at(point, lambda: forget_in_files(world.url, folder))
        with world.died_at(place):
            forget_in_files(world.url, folder)
            assert collected(folder) == logged(world)
            assert sum(collected(folder).values()) == 8


def run(world: PublishingWorld, folder: Path) -> None:
    """A run in a child that may be killed."""
    collect(world.url, folder)


def test_two_collectors_at_once_write_each_event_once(world: PublishingWorld) -> None:
    """Both run without a pause while events are sent."""
    context = multiprocessing.get_context("fork")
    sender = context.Process(target=send, args=(world.url, *map(str, range(300))))
    sender.start()
    while sender.is_alive():
        pair = [context.Process(target=run, args=(world, world.home)) for _ in range(2)]
        for collector in pair:
            collector.start()
        for collector in pair:
            collector.join()
            assert collector.exitcode == 0
    collect(world.url, world.home)
    assert collected(world.home) == logged(world) == Counter(map(str, range(300)))


def test_a_store_that_returns_to_older_data_takes_no_row_from_a_file(world: PublishingWorld) -> None:
    """It restarts with a snapshot that lacks the newest events and the cursor."""
    (world.home / "work").mkdir()
    send(world.url, *"ab")
    world.remember()
    send(world.url, *"cd")
    collect(world.url, world.home)
    world.restore()
    send(world.url, "e")
    collect(world.url, world.home)
    assert collected(world.home) == Counter("abcde")


def test_a_full_disk_is_a_sentence_and_loses_nothing(world: PublishingWorld, tmp_path: Path) -> None:
    """With room again the same events are written."""
    if not may_mount(tmp_path / "probe"):
        pytest.skip("needs root and the right to mount a file system")
    send(world.url, *map(str, range(9)))
    with small_disk(tmp_path / "disk", 1) as disk:
        ballast = fill(disk)
        with pytest.raises(LocationError, match=r"disk/.+\.parquet can't be written: .*No space left on device"):
            collect(world.url, disk)
        assert collected(disk) == Counter()
        ballast.unlink()
        assert collect(world.url, disk) == 0
        assert collected(disk) == logged(world) == Counter(map(str, range(9)))
