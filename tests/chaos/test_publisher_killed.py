"""A publisher that is killed anywhere leaves readers a whole generation, and the next run gets to the end."""

from __future__ import annotations

import sys

import pytest

from recsys.store.ports import LIVE, PREVIOUS
from tests.chaos.kill_points import die_at
from tests.chaos.world import World

OLD = ["g0", "g1", "g2", "g3"]
NEW = "g4"


@pytest.fixture
def four(world: World) -> World:
    """Four generations of which two are named, and a fifth to publish, with a part of two chunks and two hashes."""
    for generation in OLD:
        world.make(generation, items=30, users=20)
        world.publish(generation)
    world.make(NEW, items=4_200, users=1_100)
    world.remember()
    return world


def test_a_kill_at_any_point_leaves_old_or_new_and_a_rerun_converges(four: World) -> None:
    """At every command, before, halfway and after, and at every change of a file: old or new, whole, then the new."""
    world = four
    total, _ = die_at(0, lambda: world.publish(NEW))
    deaths: list[str] = []
    for point in range(1, total + 1):
        world.restore()
        count, what = die_at(point, lambda: world.publish(NEW))
        assert count == point, f"{count} points where {point} were expected: {what}"
        deaths.append(what)
        with world.told(what):
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
    assert {"before", "half", "after", "open", "os.mkdir", "shutil.rmtree"} <= kinds
    sent = sum(" before " in what for what in deaths)
    sys.stdout.write(f"\n{total} kill points: {sent} sends, three each, and {total - 3 * sent} changes of files\n")
