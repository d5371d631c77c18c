"""Answers when a stage is late, hangs, or has little time."""

import asyncio
import gc
import time

import pytest

from recsys.store import MemoryStore
from recsys.types import Event
from service.recommend.batcher import RequestBatcher
from service.recommend.circuit_breaker import FAILURES, REST_SECONDS
from service.recommend.pipeline import LEAST_TIMEOUT, RESERVE
from service.recommend.query import Degraded
from tests.fakes.in_process import InProcessService, counted, ids, slow


@pytest.fixture(scope="module")
def world(tiny_world):
    return InProcessService(tiny_world[0])


class Store(MemoryStore):
    """The store of a world, which breaks or hangs while a test sets it so. calls: the users of each read."""

    def __init__(self, store, breaks=False, hangs=False):
        super().__init__()
        self._store, self.breaks, self.hangs, self.calls = store, breaks, hangs, []

    async def read_users(self, generation, buckets, users):
        self.calls.append(list(users))
        if self.breaks:
            raise RuntimeError("away")
        while self.hangs:
            await asyncio.sleep(0.01)
        return await self._store.read_users(generation, buckets, users)


async def answer(pipeline, query):
    """The stages that the answer of a query lacks."""
    await pipeline.run([query])
    return query.degraded


async def opened(world, store):
    """A pipeline whose store failed often enough, and may be probed."""
    store.breaks = True
    pipeline = world.pipeline(store)
    for _ in range(FAILURES):
        assert await answer(pipeline, world.query()) == [Degraded.STORE]
    assert pipeline.away == ["store"]
    store.calls.clear()
    await asyncio.sleep(REST_SECONDS)
    return pipeline


async def closed(pipeline):
    """Return when a probe has closed every circuit breaker."""
    async with asyncio.timeout(10):
        while pipeline.away:
            await asyncio.sleep(0.01)


def test_a_store_that_hangs_costs_only_the_history(world):
    """The later stages still have their share of the deadline."""
    session = [Event(4, f"action-{i}", float(i)) for i in range(3)]
    query = world.run(world.query(deadline=1.5, session=session), store=Store(world.store, hangs=True))
    assert query.degraded == [Degraded.STORE]
    assert sum(item.startswith("action") for item in ids(query)) >= 5


def test_a_request_that_waited_its_deadline_away_gets_the_last_fallback(world):
    """The time in the queue counts. The answer needs no call."""
    query = world.run(world.query(deadline=-1.0))
    assert Degraded.RETRIEVAL in query.degraded
    assert len(ids(query)) == 10


def test_a_late_stage_is_replaced_when_the_deadline_comes(world):
    """The answer does not wait for the stage."""
    start = time.monotonic()
    query = world.run(world.query(deadline=0.5), rank=slow)
    assert time.monotonic() - start < 4
    assert Degraded.RANKING in query.degraded or Degraded.RETRIEVAL in query.degraded
    assert len(ids(query)) == 10


def test_a_late_call_that_ends_by_its_own_error_is_not_reported(world):
    """A killed store fails calls that have timed out, and asyncio logs nothing."""
    logged = []

    async def stubborn(_):
        try:
            await asyncio.sleep(5)
        finally:
            raise RuntimeError("gone")

    async def scene():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context["message"]))
        await world.pipeline(rank=stubborn).run([world.query(deadline=0.3)])
        await asyncio.sleep(0)
        gc.collect()

    asyncio.run(scene())
    assert logged == []


def test_a_query_with_little_time_does_not_shorten_its_batch(world):
    """It gets the next fallback at its own deadline, and the other query waits for the stage."""
    released = asyncio.Event()

    async def rank(rows):
        found = world.ranking.rank(rows)
        if len(rows) == 2:
            await released.wait()
        return found

    async def scene():
        pipeline = world.pipeline(rank=rank)
        batcher = RequestBatcher(pipeline.enrich, pipeline.finish, 8, 1)

        def submit(query):
            return asyncio.create_task(batcher.submit([query], query.due - RESERVE))

        first, hasty, calm = world.query(deadline=30), world.query(deadline=2), world.query(user=5, deadline=30)
        tasks = [submit(query) for query in (first, hasty, calm)]
        await tasks[1]
        assert not tasks[2].done()
        slate = ids(hasty), hasty.scores.tolist()
        released.set()
        await asyncio.gather(*tasks)
        assert (ids(hasty), hasty.scores.tolist()) == slate
        return hasty.degraded, calm.degraded

    assert asyncio.run(scene()) == ([Degraded.RANKING], [])


def test_no_request_waits_for_a_stage_that_hangs_and_a_probe_finds_its_return(world, caplog):
    """After some timeouts answers lack the stage and are made at once. The log and the gauge have the outage."""
    hangs, calls = True, []

    async def rank(rows):
        calls.append(len(rows))
        while hangs:
            await asyncio.sleep(0.01)
        return world.ranking.rank(rows)

    async def scene():
        nonlocal hangs
        pipeline = world.pipeline(rank=rank)
        for _ in range(FAILURES):
            assert await answer(pipeline, world.query(deadline=0.5)) == [Degraded.RANKING]
        assert (pipeline.away, counted("tandem_stage_away", stage="ranking")) == (["ranking"], 1)
        calls.clear()
        async with asyncio.timeout(30):  # the deadline of a query is later
            for _ in range(5):
                assert await answer(pipeline, world.query(deadline=60.0)) == [Degraded.RANKING]
        hangs = False
        await asyncio.sleep(REST_SECONDS)
        await answer(pipeline, world.query())
        await closed(pipeline)
        assert set(calls) == {1}
        assert counted("tandem_stage_away", stage="ranking") == 0
        return await answer(pipeline, world.query())

    assert asyncio.run(scene()) == []
    assert caplog.text.count("ranking is away: no answer within ") == 1


def test_one_query_of_a_batch_is_the_probe(world):
    """The batch goes on without the stage. The next batch may not probe before a rest."""

    async def scene():
        store = Store(world.store)
        pipeline = await opened(world, store)
        store.breaks, store.hangs = False, True
        for _ in range(2):
            batch = [world.query(user=user) for user in (4, 5, 6)]
            await pipeline.run(batch)
            assert [query.degraded for query in batch] == [[Degraded.STORE]] * 3
        await asyncio.sleep(0)
        assert store.calls[0] == [4]
        assert all(len(call) == 1 for call in store.calls)
        store.hangs = False
        await closed(pipeline)
        return await answer(pipeline, world.query())

    assert asyncio.run(scene()) == []


def test_a_probe_has_a_deadline_of_its_own(world):
    """A probe of a request with little time, or of a client that disconnected, still finds the return of the stage."""

    async def scene(deadline, leave):
        store = Store(world.store)
        pipeline = await opened(world, store)
        store.breaks = False
        task = asyncio.create_task(pipeline.run([world.query(deadline=deadline)]))
        if leave:
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait([task])
        await closed(pipeline)

    asyncio.run(scene(RESERVE, False))
    asyncio.run(scene(5.0, True))


def test_requests_with_little_time_open_no_circuit_breaker(world):
    """A timeout of some milliseconds is no failure of a stage; the share of a deadline of 100 ms is."""

    async def scene(deadline):
        pipeline = world.pipeline(Store(world.store, hangs=True))
        for _ in range(2 * FAILURES):
            await answer(pipeline, world.query(deadline=deadline))
        return pipeline.away

    assert asyncio.run(scene(RESERVE + LEAST_TIMEOUT)) == []
    assert asyncio.run(scene(0.1)) == ["store"]


def test_a_late_success_closes_the_circuit_breaker(world):
    """A call that began before the failures returns after them. The stage is called again."""
    released, calls = asyncio.Event(), []

    async def rank(rows):
        calls.append(1)
        if len(calls) > 1:
            raise RuntimeError("away")
        await released.wait()
        return world.ranking.rank(rows)

    async def scene():
        pipeline = world.pipeline(rank=rank)
        first = asyncio.create_task(pipeline.run([world.query(deadline=60.0)]))
        async with asyncio.timeout(30):
            while not calls:
                await asyncio.sleep(0.01)
        for _ in range(FAILURES):
            await answer(pipeline, world.query(deadline=60.0))
        assert (pipeline.away, counted("tandem_stage_away", stage="ranking")) == (["ranking"], 1)
        released.set()
        await first
        assert (pipeline.away, counted("tandem_stage_away", stage="ranking")) == ([], 0)

    asyncio.run(scene())
