"""The ladder by the clock: what a request gets when a stage is late, hangs, or leaves it little time."""

import asyncio
import gc
import socket
import time

import pytest
import uvloop

from recsys.errors import StageError
from recsys.store import MemoryStore
from recsys.types import Event
from service.recommend.circuit_breaker import FAILURES, REST_SECONDS
from service.recommend.patience import Patience
from service.recommend.pipeline import GONE_SECONDS
from service.recommend.query import Degraded
from tests.whole_path import World, counted, ids, slow


@pytest.fixture(scope="module")
def world(tiny_world):
    return World(tiny_world[0])


def test_a_store_that_hangs_costs_only_the_history(world):
    """Its share of the deadline runs out, and the later stages still have theirs."""

    class Hanging(MemoryStore):
        async def read_users(self, *_):
            await asyncio.sleep(5)

    session = [Event(4, f"action-{i}", float(i)) for i in range(3)]
    query = world.run(world.query(deadline=1.5, session=session), store=Hanging())
    assert query.degraded == [Degraded.STORE]
    assert sum(item.startswith("action") for item in ids(query)) >= 5


def test_a_request_that_waited_its_deadline_away_gets_the_last_rung(world):
    """Time in the queue is time too: it is answered at once, from what needs no call."""
    start = time.monotonic()
    query = world.run(world.query(deadline=-1.0))
    assert time.monotonic() - start < 0.3
    assert Degraded.RETRIEVAL in query.degraded
    assert len(ids(query)) == 10


def test_a_late_stage_is_replaced_when_the_deadline_comes(world):
    """The answer does not wait for what is late."""
    start = time.monotonic()
    query = world.run(world.query(deadline=0.3), rank=slow)
    assert time.monotonic() - start < 2
    assert query.degraded == [Degraded.RANKING]
    assert len(ids(query)) == 10


def test_a_late_call_that_ends_by_its_own_error_is_no_news(world):
    """A store that is killed breaks calls that were left behind: asyncio has nothing to report of them."""
    told = []

    async def stubborn(_):
        try:
            await asyncio.sleep(5)
        finally:
            raise RuntimeError("gone")

    async def scene():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))
        await world.pipeline(rank=stubborn).run([world.query(deadline=0.3)])
        await asyncio.sleep(0)
        gc.collect()

    asyncio.run(scene())
    assert told == []


def test_a_query_with_little_time_does_not_hurry_its_neighbours(world):
    """It gets the next rung by its own deadline, and those it shares a batch with wait for the stage as if alone."""
    landed = {}

    async def unhurried(rows):
        await asyncio.sleep(0.3)
        return world.ranking.rank(rows)

    hasty, patient = world.query(deadline=0.15), world.query(user=5, deadline=5.0)
    start = time.monotonic()

    def land(query, error):
        assert error is None
        landed[query.user_id] = time.monotonic() - start

    asyncio.run(world.pipeline(rank=unhurried).run([hasty, patient], land))
    assert hasty.degraded == [Degraded.RANKING]
    assert patient.degraded == []
    assert landed[4] < 0.25 <= landed[5]


def test_a_stage_that_hangs_is_soon_done_without_and_tried_again(world, caplog):
    """After a few batches nobody waits for it any more, which is told; when it answers again, so do slates."""
    hangs = True

    async def rank(rows):
        if hangs:
            await asyncio.sleep(5)
        return world.ranking.rank(rows)

    async def scene():
        nonlocal hangs
        pipeline = world.pipeline(rank=rank)

        async def ask():
            query, start = world.query(deadline=0.3), time.monotonic()
            await pipeline.run([query])
            return query.degraded, time.monotonic() - start

        for _ in range(FAILURES):
            await ask()
        waits = [await ask() for _ in range(5)]
        told.append((pipeline.away, away()))
        hangs = False
        await asyncio.sleep(REST_SECONDS)
        first, second = (await ask())[0], (await ask())[0]
        told.append((pipeline.away, away()))
        return waits, first, second

    def away():
        return counted("tandem_stage_away", stage="ranking")

    told = []
    waits, first, second = asyncio.run(scene())
    assert told == [(["ranking"], 1), ([], 0)]
    assert caplog.text.count("ranking is away: no answer within ") == 1
    assert all(degraded == [Degraded.RANKING] for degraded, _ in waits)
    assert sum(seconds < 0.15 for _, seconds in waits) >= 4
    assert first == second == []


def test_a_store_that_hangs_soon_costs_nothing_where_all_are_in_a_hurry(world):
    """With 100 ms each, as the README's client has, its share of them is waited for a few times and no more."""

    class Hanging(MemoryStore):
        async def read_users(self, *_):
            await asyncio.sleep(5)

    async def scene():
        pipeline = world.pipeline(Hanging())
        for _ in range(FAILURES):
            await pipeline.run([world.query(deadline=0.1)])
        return pipeline._guarded[0][1].closed

    assert not asyncio.run(scene())


def test_those_who_go_after_a_long_wait_teach_as_much(world):
    """Alone they end the call with themselves; a few, and the stage is done without. Who goes early says nothing."""

    class Hanging(MemoryStore):
        async def read_users(self, *_):
            await asyncio.sleep(5)

    async def scene(seconds):
        pipeline = world.pipeline(Hanging())
        for _ in range(FAILURES):
            asking = asyncio.create_task(pipeline.run([world.query(deadline=5.0)]))
            await asyncio.sleep(seconds)
            asking.cancel()
            await asyncio.wait([asking])
            assert asking.cancelled()
        return pipeline.away

    assert asyncio.run(scene(1.5 * GONE_SECONDS)) == ["store"]
    assert asyncio.run(scene(GONE_SECONDS / 2)) == []


class Recovering(MemoryStore):
    """Breaks as often as makes a stage be done without; then it answers, a moment later than some can wait."""

    def __init__(self, whole):
        super().__init__()
        self._whole, self._asked = whole, 0

    async def read_users(self, *asked):
        self._asked += 1
        if self._asked <= FAILURES:
            raise RuntimeError("away")
        await asyncio.sleep(0.03)
        return await self._whole.read_users(*asked)


async def away(world):
    """A pipeline whose store is back, and was not asked since."""
    pipeline = world.pipeline(Recovering(world.store))
    for _ in range(FAILURES):
        await pipeline.run([world.query()])
    assert pipeline.away == ["store"]
    await asyncio.sleep(REST_SECONDS)
    return pipeline


async def found(pipeline, world):
    """What somebody with time gets."""
    query = world.query()
    await pipeline.run([query])
    return query.degraded


def test_a_flood_of_those_in_a_hurry_keeps_no_stage_away(world, caplog):
    """They may try it, and nothing comes of that; the first who has time finds that it is back. No line is of them."""

    async def scene():
        pipeline = await away(world)
        caplog.clear()
        for _ in range(20):
            hasty = world.query(deadline=0.03)
            await pipeline.run([hasty])
            assert Degraded.STORE in hasty.degraded
        return await found(pipeline, world), pipeline.away

    assert asyncio.run(scene()) == ([], [])
    assert not [record for record in caplog.records if record.name == "tandem"]


def test_who_tries_and_goes_leaves_the_try_to_the_next(world):
    """A client that hedges, say."""

    async def scene():
        pipeline = await away(world)
        for _ in range(5):
            hedged = asyncio.create_task(pipeline.run([world.query()]))
            await asyncio.sleep(0.005)
            hedged.cancel()
            await asyncio.wait([hedged])
        await asyncio.sleep(0.02)
        return await found(pipeline, world), pipeline.away

    assert asyncio.run(scene()) == ([], [])


def test_of_a_batch_whoever_has_the_longest_time_tries(world):
    """The others do without for once."""

    async def scene():
        pipeline = await away(world)
        hasty, patient = world.query(deadline=0.03), world.query()
        await pipeline.run([hasty, patient])
        return hasty.degraded, patient.degraded

    assert asyncio.run(scene()) == ([Degraded.STORE], [])


def test_who_goes_and_did_not_try_gives_nobody_a_turn(world, monkeypatch):
    """Whoever came while all was well: of a stage that hangs all would wait, each in another's place."""
    monkeypatch.setattr("service.recommend.pipeline.GONE_SECONDS", 60)
    monkeypatch.setattr("service.recommend.circuit_breaker.REST_SECONDS", 60)
    begun = []

    class Hanging(MemoryStore):
        async def read_users(self, *_):
            begun.append(1)
            if 1 < len(begun) <= 1 + FAILURES:
                raise RuntimeError("away")
            await asyncio.sleep(5)

    async def scene():
        pipeline = world.pipeline(Hanging())
        first = asyncio.create_task(pipeline.run([world.query()]))
        await asyncio.sleep(0)
        for _ in range(FAILURES):
            await pipeline.run([world.query()])
        first.cancel()
        await asyncio.wait([first])
        asked = len(begun)
        await pipeline.run([world.query()])
        return asked, len(begun)

    assert asyncio.run(scene()) == (1 + FAILURES, 1 + FAILURES)


def test_what_is_told_of_a_stage_is_how_it_is_now(world):
    """A call that began before others failed comes back after: the stage is asked again, and the gauge says so."""
    told, begun = [], []

    async def rank(rows):
        begun.append(1)
        if len(begun) > 1:
            raise RuntimeError("away")
        await asyncio.sleep(0.2)
        return world.ranking.rank(rows)

    async def scene():
        pipeline = world.pipeline(rank=rank)
        slow = asyncio.create_task(pipeline.run([world.query(deadline=60.0)]))
        async with asyncio.timeout(30):
            while not begun:
                await asyncio.sleep(0.01)
        for _ in range(FAILURES):
            await pipeline.run([world.query(deadline=60.0)])
        told.append((pipeline.away, counted("tandem_stage_away", stage="ranking")))
        await slow
        told.append((pipeline.away, counted("tandem_stage_away", stage="ranking")))

    asyncio.run(scene())
    assert told == [(["ranking"], 1), ([], 0)]


def test_a_stage_that_was_slow_once_is_tried_by_those_with_little_time(world):
    """Nobody with more time comes, and still it is found out that the stage is fast again."""

    async def scene():
        pipeline = world.pipeline()
        for _, breaker in pipeline._guarded:
            for _ in range(100):
                breaker.worked(2.0)
        degraded = []
        for _ in range(60):
            query = world.query(deadline=0.9)
            await pipeline.run([query])
            degraded.append(bool(query.degraded))
            await asyncio.sleep(0.05)
        return degraded

    degraded = asyncio.run(scene())
    assert degraded[0] or degraded[1]
    assert not any(degraded[-3:])


class Waiting:
    """As much of a query as patience asks for."""


def waited(call, latest, loop=uvloop.run):
    """What one who waits so many seconds for a call is told, and whether it waited to the end."""

    async def scene():
        query, left = Waiting(), []
        patience = Patience([query], {id(query): time.monotonic() + latest}, left.extend)
        return *await patience.wait(call()), patience.waiting == [query], left == [query]

    return loop(scene())


@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run])
def test_an_answer_that_is_there_counts_though_the_loop_was_held(loop):
    """By a large batch or the collector, past the time that one waits."""

    async def call():
        here = asyncio.get_running_loop()
        answer = here.create_future()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        here.add_reader(ours, lambda: answer.done() or answer.set_result("whole"))
        here.call_later(0.02, lambda: (theirs.send(b"x"), time.sleep(0.1)))
        try:
            return await answer
        finally:
            here.remove_reader(ours)
            ours.close()
            theirs.close()

    assert waited(call, 0.05, loop) == ("whole", None, True, False)


@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run])
def test_one_that_waits_no_longer_is_left_once(loop):
    """And the call is cancelled, whatever it does then."""

    async def swallows():
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            return "too late"

    async def breaks():
        try:
            await asyncio.sleep(9)
        finally:
            raise ZeroDivisionError

    for call in (swallows, breaks, lambda: asyncio.sleep(9)):
        assert waited(call, 0.05, loop) == ((), None, False, True)


def test_who_is_cancelled_is_cancelled():
    """By whoever cancels the batch, though all are late at the same time; and nothing is left of a cancel of ours."""

    async def scene():
        async def batch():
            query = Waiting()
            patience = Patience([query], {id(query): time.monotonic() + 0.05}, lambda _: None)
            await patience.wait(asyncio.sleep(9))
            assert asyncio.current_task().cancelling() == 0
            await asyncio.sleep(0.01)

        for seconds in (0.02, 0.05, 0.055):
            task = asyncio.create_task(batch())
            await asyncio.sleep(seconds)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await asyncio.create_task(batch())

    uvloop.run(scene())


def test_a_call_that_was_cancelled_itself_is_an_error():
    """Nobody cancelled who waits for it."""

    async def call():
        gone = asyncio.get_running_loop().create_future()
        gone.cancel()
        await gone

    found, error, stayed, left = waited(call, 5)
    assert (found, stayed, left) == ((), True, False)
    assert isinstance(error, StageError)
