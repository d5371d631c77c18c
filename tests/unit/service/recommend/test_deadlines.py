"""Answers when a stage is late, hangs, or has little time."""

import asyncio

import pytest

from recsys.slates.query import Degraded
from service.recommend.arm_batchers import ArmBatchers, deadline_class
from service.recommend.batcher import RequestBatcher
from service.recommend.circuit_breaker import FAILURES, REST_SECONDS
from service.recommend.guard import LEAST_TIMEOUT, RESERVE
from tests.fakes.in_process import InProcessService, counted

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def world(tiny_world):
    made = InProcessService(tiny_world[0])
    made.run(made.query(deadline=60))  # loads the kernels, which takes seconds on a busy machine
    return made


class Store:
    """The store of a world, which breaks or hangs while a test sets it so. calls: the users of each read."""

    def __init__(self, store, breaks=False, hangs=False):
        self._store, self.breaks, self.hangs, self.calls = store, breaks, hangs, []

    async def read_users(self, generation, buckets, users, variant=""):
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


async def test_a_stage_that_hangs_takes_no_more_than_its_share_of_each_deadline(world):
    """A query with little time keeps the later stages, although queries with much time came just before it."""
    store = Store(world.store, hangs=True)
    pipeline = world.pipeline(store)
    batchers = ArmBatchers(lambda: RequestBatcher(pipeline.enrich, pipeline.finish, 8, 1))

    def submit(query):
        return asyncio.create_task(batchers.submit([query], query.due - RESERVE))

    patient = [world.query(user=user, deadline=60) for user in (5, 6, 7)]
    hasty = world.query(deadline=3)
    tasks = [submit(query) for query in (*patient, hasty)]
    await tasks[-1]
    assert hasty.degraded == [Degraded.STORE]
    assert hasty.is_ranked
    assert not any(task.done() for task in tasks[:-1])
    store.hangs = False
    await asyncio.gather(*tasks)
    assert [query.degraded for query in patient] == [[]] * 3
    assert [5] in store.calls
    assert [6, 7] in store.calls  # deadlines that are alike share a batch


def test_round_deadlines_are_each_in_a_class_of_their_own_and_keep_it_for_some_time():
    """A request that waited a fifteenth of its deadline still shares batches with those that have just arrived."""
    round_ones = (0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.7, 1.0, 2.0, 3.0)
    assert len({deadline_class(seconds) for seconds in round_ones}) == len(round_ones)
    assert all(deadline_class(0.93 * seconds) == deadline_class(seconds) for seconds in round_ones)
    assert deadline_class(-1.0) == deadline_class(0.01)


async def test_no_request_waits_for_a_stage_that_hangs_and_a_probe_finds_its_return(world, caplog):
    """After some timeouts answers lack the stage and are made at once. The log and the gauge have the outage."""
    hangs, calls = True, []

    async def rank(rows):
        calls.append(len(rows))
        while hangs:
            await asyncio.sleep(0.01)
        return world.ranking.rank(rows)

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
    assert await answer(pipeline, world.query()) == []
    assert caplog.text.count("ranking is away: no answer within ") == 1


async def test_one_query_of_a_batch_is_the_probe(world):
    """The batch goes on without the stage. The next batch may not probe before a rest."""
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
    assert await answer(pipeline, world.query()) == []


@pytest.mark.parametrize(("deadline", "leave"), [(RESERVE, False), (5.0, True)])
async def test_a_probe_has_a_deadline_of_its_own(world, deadline, leave):
    """A probe of a request with little time, or of a client that disconnected, still finds the return of the stage."""
    store = Store(world.store)
    pipeline = await opened(world, store)
    store.breaks = False
    task = asyncio.create_task(pipeline.run([world.query(deadline=deadline)]))
    if leave:
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.wait([task])
    await closed(pipeline)


@pytest.mark.parametrize(("deadline", "away"), [(RESERVE + LEAST_TIMEOUT, []), (0.1, ["store"])])
async def test_requests_with_little_time_open_no_circuit_breaker(world, deadline, away):
    """A timeout of some milliseconds is no failure of a stage; the share of a deadline of 100 ms is."""
    pipeline = world.pipeline(Store(world.store, hangs=True))
    for _ in range(2 * FAILURES):
        await answer(pipeline, world.query(deadline=deadline))
    assert pipeline.away == away
