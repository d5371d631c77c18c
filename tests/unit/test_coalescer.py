"""Merging requests that wait."""

import asyncio
import time
from types import SimpleNamespace

import numpy as np
import pytest
import uvloop

from recsys.errors import StageError
from service.backends.backends import Backends
from service.recommend.batcher import AT_ONCE_SECONDS, BACKLOG, Coalescer
from service.recommend.pace import Pace
from service.settings import Settings
from service.verbs.recommender import Recommender


def coalescer_of(run, *sizes, at_once=lambda query: None, pace=0.0, spare=0):
    return Coalescer(run, at_once, *sizes, Pace(pace), spare)


def later():
    return time.monotonic() + 60


def land_all(batch, land):
    for query in batch:
        land(query, None)


def behind(coalescer, *queries):
    """The tasks of one that is alone, and of those that leave together behind it."""
    return [asyncio.create_task(coalescer.submit([query], later())) for query in ("before", *queries)]


def test_a_lone_request_starts_at_once():
    """Nobody waits for company."""
    batches = []

    async def run(batch, land):
        batches.append(list(batch))
        land_all(batch, land)

    asyncio.run(coalescer_of(run, 8, 2).submit(["a"], later()))
    assert batches == [["a"]]


def under_way_as_they_come(coalescer_of_run, requests):
    """How large the batches under way are after each of `requests`, which come in turns: (how many, of how many)."""
    sizes, gate, told = [], asyncio.Event(), []

    async def run(batch, land):
        sizes.append(len(batch))
        await gate.wait()
        land_all(batch, land)

    async def scene():
        coalescer, tasks = coalescer_of_run(run), []
        for count, queries in requests:
            for _ in range(count):
                asked = [object() for _ in range(queries)]
                tasks.append(asyncio.create_task(coalescer.submit(asked, later())))
            await asyncio.sleep(0.01)
            told.append(sizes[:])
        gate.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 5)

    asyncio.run(scene())
    return told


@pytest.mark.parametrize("spare", [1, 2])
def test_more_batches_may_be_under_way_where_many_wait(spare):
    """As many as there are to spare, however many wait behind them; for fewer it is as many as were allowed."""
    told = under_way_as_they_come(
        lambda run: coalescer_of(run, 2 * BACKLOG, 2, spare=spare),
        [(2, 1), (BACKLOG - 1, 1), (1, 1), (BACKLOG, 1), (BACKLOG, 1)],
    )
    first, second = [1, 1, BACKLOG], [1, 1, BACKLOG, BACKLOG]
    assert told == [[1, 1], [1, 1], first, *([first, first] if spare == 1 else [second, second])]


@pytest.mark.parametrize(("topology", "spare"), [("split", 2), ("inline", 0)])
def test_stages_that_are_processes_of_their_own_have_some_to_spare(topology, spare):
    """Inline, a batch more would only share the cores with the others."""
    desks = SimpleNamespace(pipeline=SimpleNamespace(run=None, at_once=None))
    assert Recommender(desks, None, Settings(topology=topology))._coalescer._spare == spare


@pytest.mark.parametrize(
    ("max_batch", "spare", "requests"),
    [(2 * BACKLOG, 0, [(3 * BACKLOG, 1)]), (BACKLOG - 1, 1, [(3 * BACKLOG, 1)]), (2 * BACKLOG, 1, [(1, 3 * BACKLOG)])],
)
def test_no_more_batches_are_under_way(max_batch, spare, requests):
    """Where all computes in this process, where they can't leave together, and for the users of one request."""
    [sizes] = under_way_as_they_come(lambda run: coalescer_of(run, max_batch, 2, spare=spare), requests)
    assert len(sizes) == 2


def test_requests_that_wait_leave_together():
    """While as many batches as allowed are under way, newcomers gather into one."""
    batches, gate = [], asyncio.Event()

    async def run(batch, land):
        batches.append(list(batch))
        await gate.wait()
        land_all(batch, land)

    async def scene():
        coalescer = coalescer_of(run, 8, 1)
        tasks = [asyncio.create_task(coalescer.submit([n], later())) for n in range(6)]
        await asyncio.sleep(0.01)
        assert batches == [[0]]
        gate.set()
        await asyncio.gather(*tasks)

    asyncio.run(scene())
    assert batches == [[0], [1, 2, 3, 4, 5]]


def test_a_batch_is_never_larger_than_allowed():
    """What does not fit goes into the next one."""
    sizes = []

    async def run(batch, land):
        sizes.append(len(batch))
        await asyncio.sleep(0)
        land_all(batch, land)

    async def scene():
        coalescer = coalescer_of(run, 4, 1)
        await asyncio.gather(*(coalescer.submit([n], later()) for n in range(11)))

    asyncio.run(scene())
    assert sum(sizes) == 11
    assert max(sizes) == 4


def test_a_failure_reaches_everyone_in_the_batch_and_nobody_else():
    """The next batch runs as if nothing had happened."""

    async def run(batch, land):
        await asyncio.sleep(0)
        if "bad" in batch:
            raise RuntimeError("broken")
        land_all(batch, land)

    async def scene():
        coalescer = coalescer_of(run, 8, 1)
        with pytest.raises(RuntimeError, match="broken"):
            await coalescer.submit(["bad"], later())
        found = await asyncio.gather(*behind(coalescer, "bad", "with it"), return_exceptions=True)
        await coalescer.submit(["good"], later())
        return found

    before, *both = asyncio.run(scene())
    assert before is None
    assert [str(error) for error in both] == ["broken", "broken"]


def test_who_can_wait_no_longer_for_a_batch_is_answered_at_once():
    """Behind a batch that hangs, a request is done when its time is up, with what needs no waiting."""
    at_once = []

    async def run(batch, land):
        await asyncio.sleep(10)

    async def scene():
        coalescer = coalescer_of(run, 1, 1, at_once=at_once.append)
        hanging = asyncio.create_task(coalescer.submit(["first"], later()))
        await asyncio.sleep(0)
        await asyncio.wait_for(coalescer.submit(["second"], time.monotonic() + 0.05), 5)
        hanging.cancel()

    asyncio.run(scene())
    assert at_once == ["second"]


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_who_lets_go_as_its_time_runs_out_is_not_answered(runner):
    """A loop that was late finds both in one turn: nothing is made for it, and nothing goes wrong."""
    made, wrong = [], []

    async def scene():
        loop, gate = asyncio.get_running_loop(), asyncio.Event()
        loop.set_exception_handler(lambda _, told: wrong.append(told))

        async def run(batch, land):
            await gate.wait()
            land_all(batch, land)

        coalescer = coalescer_of(run, 32, 1, at_once=made.append)
        first = asyncio.create_task(coalescer.submit(["first"], later()))
        await asyncio.sleep(0)
        due = loop.time() + 0.5
        other = asyncio.create_task(coalescer.submit(["other"], due + AT_ONCE_SECONDS))
        await asyncio.sleep(0)
        loop.call_at(due - 0.03, time.sleep, 0.06)
        loop.call_at(due - 0.01, other.cancel)
        await asyncio.sleep(0.6)
        assert other.cancelled()
        gate.set()
        await first

    runner(scene())
    assert (made, wrong) == ([], [])


def test_a_burst_that_can_wait_no_longer_is_answered_by_and_by():
    """The first has its reply before the last is begun."""
    begun, replied = [], []

    async def run(batch, land):
        await asyncio.sleep(10)

    def at_once(query):
        begun.append(time.monotonic())
        time.sleep(AT_ONCE_SECONDS / 2)

    async def scene():
        coalescer = coalescer_of(run, 1, 1, at_once=at_once)
        hanging = asyncio.create_task(coalescer.submit(["first"], later()))
        await asyncio.sleep(0)
        latest = time.monotonic() + 0.5

        async def ask(n):
            await coalescer.submit([n], latest)
            replied.append(time.monotonic())

        await asyncio.wait_for(asyncio.gather(*map(ask, range(300))), 5)
        hanging.cancel()

    asyncio.run(scene())
    assert len(replied) == 300
    assert replied[0] < begun[-1]


def test_each_is_answered_as_soon_as_it_is_done():
    """One that landed does not wait for the rest of its batch."""

    async def run(batch, land):
        await asyncio.sleep(0.01)
        land(batch[0], None)
        if len(batch) > 1:
            await asyncio.sleep(10)

    async def scene():
        coalescer = coalescer_of(run, 2, 1)
        before = asyncio.create_task(coalescer.submit(["before"], later()))
        await asyncio.sleep(0)
        first, second = (asyncio.create_task(coalescer.submit([name], later())) for name in "ab")
        await asyncio.wait_for(asyncio.gather(before, first), 5)
        assert not second.done()
        second.cancel()

    asyncio.run(scene())


def test_what_breaks_for_one_reaches_that_one_alone():
    """Its neighbour in the batch gets its answer."""

    async def run(batch, land):
        await asyncio.sleep(0)
        land(batch[0], RuntimeError("broken"))
        for query in batch[1:]:
            land(query, None)

    async def scene():
        coalescer = coalescer_of(run, 8, 1)
        held = asyncio.create_task(coalescer.submit(["alone"], later()))
        both = [asyncio.create_task(coalescer.submit([name], later())) for name in ("bad", "good")]
        return await asyncio.gather(held, *both, return_exceptions=True)

    _, bad, good = asyncio.run(scene())
    assert isinstance(bad, RuntimeError)
    assert good is None


def test_a_batch_that_is_cancelled_leaves_nobody_waiting():
    """Everyone in it is told so, and the next batch runs."""

    async def run(batch, land):
        await asyncio.sleep(0)
        if "bad" in batch:
            raise asyncio.CancelledError
        land_all(batch, land)

    async def scene():
        coalescer = coalescer_of(run, 8, 1)
        found = await asyncio.wait_for(asyncio.gather(*behind(coalescer, "bad", "with it"), return_exceptions=True), 5)
        await asyncio.wait_for(coalescer.submit(["good"], later()), 5)
        return found

    before, *both = asyncio.run(scene())
    assert before is None
    assert [type(error) for error in both] == [StageError, StageError]


def test_who_is_alone_takes_its_place():
    """Cancelled, its batch ends with it, and whoever waits behind it is next."""
    ended = []

    async def run(batch, land):
        try:
            await asyncio.sleep(0.01 if batch == ["next"] else 10)
            land_all(batch, land)
        except asyncio.CancelledError:
            ended.append(batch)
            raise

    async def scene():
        coalescer = coalescer_of(run, 8, 1)
        alone = asyncio.create_task(coalescer.submit(["alone"], later()))
        await asyncio.sleep(0)
        behind = asyncio.create_task(coalescer.submit(["next"], later()))
        await asyncio.sleep(0.01)
        assert not behind.done()
        alone.cancel()
        await asyncio.wait_for(behind, 5)
        with pytest.raises(asyncio.CancelledError):
            await alone

    asyncio.run(scene())
    assert ended == [["alone"]]


def test_who_comes_while_nothing_is_waited_for_gathers():
    """Models in this process, and nobody else to ask: the loop turns before they compute, so that others meet."""
    models = SimpleNamespace(**dict.fromkeys(Backends.__dataclass_fields__, lambda rows: rows))
    retrieve, sizes = Backends.local(models, models).retrieve, []

    async def run(batch, land):
        sizes.append(len(await retrieve(np.zeros((len(batch), 1), np.uint8))))
        land_all(batch, land)

    async def scene():
        coalescer = coalescer_of(run, 8, 1)
        await asyncio.gather(*(coalescer.submit([n], later()) for n in range(6)))

    asyncio.run(scene())
    assert sizes == [1, 5]
