"""Users' lists as the answers of requests that admission control refuses."""

import asyncio
import time

import pytest

from service.recommend import overload
from service.recommend.overload import ListsUnderOverload
from tests.fakes.fake_users import AwayStore
from tests.fakes.in_process import InProcessService, broken


@pytest.fixture(scope="module")
def world(tiny_world):
    return InProcessService(tiny_world[0])


def answer(world, *queries, **calls):
    """Answer queries at the same moment; whether each got a list."""

    async def scene():
        lists = ListsUnderOverload(world.pipeline(**{"retrieve": broken, "complete": broken, "rank": broken} | calls))
        return await asyncio.gather(*map(lists.answer, queries))

    return asyncio.run(scene())


def test_a_user_without_a_usable_list_gets_none(world):
    """No list, too few items that pass the filter, no time left, or no store."""
    stranger, filtered = world.query(user="nobody"), world.query(user=4, k=50, filter={"categories": ["drama"]})
    late = world.query(user=4, deadline=0.001)
    assert answer(world, stranger, filtered, late) == [False] * 3
    assert answer(world, world.query(user=4), store=AwayStore()) == [False]


def test_reads_are_merged_and_bounded(world, monkeypatch):
    """One read of the store is in flight; further requests get no list."""
    monkeypatch.setattr(overload, "MOST", 40)
    reads = []

    class Slow:
        async def read_users(self, generation, buckets, users, variant=""):
            reads.append(len(users))
            await asyncio.sleep(0.05)
            return await world.store.read_users(generation, buckets, users)

    start = time.monotonic()
    found = answer(world, *(world.query(user=user) for user in range(50)), store=Slow())
    assert (found.count(True), found.count(False)) == (40, 10)
    assert sum(reads) == 40
    assert len(reads) <= 3
    assert time.monotonic() - start < 4
