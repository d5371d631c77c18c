"""Merging requests that wait."""

import asyncio

import pytest

from recsys.errors import QueryError
from service.coalescer import Coalescer


def test_a_lone_request_starts_at_once():
    """Nobody waits for company."""
    batches = []

    async def run(batch):
        batches.append(list(batch))

    asyncio.run(Coalescer(run, 8, 2, 100).submit("a"))
    assert batches == [["a"]]


def test_requests_that_wait_leave_together():
    """While as many batches as allowed are under way, newcomers gather into one."""
    batches, gate = [], asyncio.Event()

    async def run(batch):
        batches.append(list(batch))
        await gate.wait()

    async def scene():
        coalescer = Coalescer(run, 8, 1, 100)
        tasks = [asyncio.create_task(coalescer.submit(n)) for n in range(6)]
        await asyncio.sleep(0.01)
        assert batches == [[0]]
        gate.set()
        await asyncio.gather(*tasks)

    asyncio.run(scene())
    assert batches == [[0], [1, 2, 3, 4, 5]]


def test_a_batch_is_never_larger_than_allowed():
    """What does not fit goes into the next one."""
    sizes = []

    async def run(batch):
        sizes.append(len(batch))
        await asyncio.sleep(0)

    async def scene():
        coalescer = Coalescer(run, 4, 1, 100)
        await asyncio.gather(*(coalescer.submit(n) for n in range(11)))

    asyncio.run(scene())
    assert sum(sizes) == 11
    assert max(sizes) == 4


def test_overload_answers_at_once():
    """A full waiting room turns newcomers away instead of growing."""

    async def run(batch):
        await asyncio.sleep(10)

    async def scene():
        coalescer = Coalescer(run, 1, 1, 2)
        waiting = [asyncio.create_task(coalescer.submit(n)) for n in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(QueryError) as refused:
            await coalescer.submit("too many")
        assert refused.value.code == "overloaded"
        for task in waiting:
            task.cancel()

    asyncio.run(scene())


def test_a_failure_reaches_everyone_in_the_batch_and_nobody_else():
    """The next batch runs as if nothing had happened."""

    async def run(batch):
        if "bad" in batch:
            raise RuntimeError("broken")

    async def scene():
        coalescer = Coalescer(run, 8, 1, 100)
        with pytest.raises(RuntimeError, match="broken"):
            await coalescer.submit("bad")
        await coalescer.submit("good")

    asyncio.run(scene())
