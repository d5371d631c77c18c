"""Tests that a publisher of models, killed at any point, leaves either the old or the new models complete.

A second run of the publisher then succeeds.
"""

from __future__ import annotations

import pytest

from recsys.generation import upload
from recsys.store.stored_types import LIVE, PREVIOUS
from tests.chaos.kill_points import die_at
from tests.chaos.publishing_world import PublishingWorld

OLD = ["g0", "g1", "g2", "g3"]
NEW = "g4"


@pytest.fixture
def four(world: PublishingWorld) -> PublishingWorld:
    """Four published generations, two of them with an alias, and a fifth with a part of two chunks and two hashes."""
    for generation in OLD:
        world.make(generation, items=30, users=20)
        world.publish(generation)
    world.make(NEW, items=4_200, users=1_100)
    world.remember()
    return world


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_a_kill_at_any_point_leaves_old_or_new_and_a_rerun_converges(four: PublishingWorld, step, monkeypatch) -> None:
    """The points are before, halfway and after each command, and at each change of a file; `make test` takes a 7th.

    The old or the new generation is live and whole, and a second run makes the new one live.
    """
    world = four
    monkeypatch.setattr(upload, "AHEAD", 0)  # one order of steps, so that every number is one point
    total, _ = die_at(0, lambda: world.publish(NEW))
    deaths: list[str] = []
    for point in range(1, total + 1, step):
        world.restore()
        count, what = die_at(point, lambda: world.publish(NEW))
        assert count == point, f"{count} points where {point} were expected: {what}"
        deaths.append(what)
        with world.died_at(what):
            live = world.alias(LIVE)
            assert (live, world.alias(PREVIOUS)) in {("g3", "g2"), (NEW, "g3")}
            for generation in world.store.generations():
                world.check_whole(generation)
            assert world.nameless() == set()
            world.publish(NEW)
            assert (world.alias(LIVE), world.alias(PREVIOUS)) == (NEW, "g3")
            assert world.store.generations() == ["g2", "g3", NEW]
            world.check_whole(NEW)
            assert world.expiring() == set()
            assert world.nameless() == set()
            assert world.files() == {"generations", "trials", *(f"generations/{g}" for g in ("g2", "g3", NEW))}
    kinds = {what.split()[1] for what in deaths}
    assert {"before", "half", "after"} <= kinds
    if step == 1:
        assert {"open", "os.mkdir", "shutil.rmtree"} <= kinds
