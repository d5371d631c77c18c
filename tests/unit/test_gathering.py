"""Requests that gather before a batch leaves: for whom, how long, and who does not."""

import asyncio
import time

import pytest
import uvloop

from recsys.errors import StageError
from service.recommend.batcher import Coalescer
from service.recommend.pace import ENOUGH, Pace
from tests.unit.test_coalescer import land_all, later


class Crowded(Pace):
    """However long a test is held: what is forgotten when is test_pace's."""

    def _peak(self, now):
        return 100


class Hears(Pace):
    """Nobody waits; it is told at each look who waits and who is here."""

    def __init__(self, told):
        super().__init__(0.0)
        self._told = told

    def seconds(self, now, waiting, here):
        self._told.append((waiting, here))
        return 0.0


def often(most):
    """A pace of an idle process that many came to, just now."""
    pace, now = Crowded(most), asyncio.get_running_loop().time()
    for _ in range(100):
        pace.count(now, 1)
    return pace


def busy(most):
    """A pace of a process that was always busy, with many at once."""
    pace = Crowded(most)
    pace.mark(asyncio.get_running_loop().time() - 10, True)
    return pace


def test_a_busy_process_lets_requests_gather():
    """One after the other they would leave alone, as fast as they come; who comes to nobody leaves at once."""

    class OfBusy(Pace):
        def rate(self, now):
            return 0.0

    async def scene(most, pause, count):
        batches = []

        async def run(batch, land):
            batches.append(len(batch))
            await asyncio.sleep(0.025)
            land_all(batch, land)

        coalescer, tasks = Coalescer(run, None, 8, 8, OfBusy(most)), []
        for n in range(count):
            tasks.append(asyncio.create_task(coalescer.submit([n], later())))
            await asyncio.sleep(pause)
        await asyncio.gather(*tasks)
        return max(batches)

    for run in (asyncio.run, uvloop.run):
        assert run(scene(0.2, 0.01, 150)) > 1
    assert asyncio.run(scene(0.0, 0.01, 20)) == 1
    assert asyncio.run(scene(0.2, 0.1, 10)) == 1


def test_requests_are_company_and_not_the_slates_of_one():
    """Those of a request for several users come together, and tell nothing of who comes next."""

    async def run(batch, land):
        land_all(batch, land)

    async def scene():
        pace, now = Pace(0.0), asyncio.get_running_loop().time()
        coalescer = Coalescer(run, None, 32, 2, pace)
        for _ in range(5):
            await coalescer.submit(range(20), later())
        return pace.rate(now)

    assert asyncio.run(scene()) == pytest.approx(5, rel=0.2)


def test_the_slates_of_one_request_are_no_crowd():
    """However many: who asks next, and nobody else does, waits for nobody, busy as they made it."""
    heres = []

    class Notes(Pace):
        def seconds(self, now, waiting, here):
            heres.append(here)
            return super().seconds(now, waiting, here)

    async def run(batch, land):
        await asyncio.sleep(0.01)
        land_all(batch, land)

    async def scene():
        pace = Notes(10.0)
        pace.mark(asyncio.get_running_loop().time() - 10, True)
        coalescer = Coalescer(run, None, 4, 2, pace)
        await coalescer.submit(range(20), later())
        await asyncio.wait_for(coalescer.submit(["next"], later()), 1)

    asyncio.run(scene())
    assert set(heres) == {1}  # until the last of them is answered


def test_who_is_here_is_counted_until_it_is_answered():
    """Whether it was alone or not, and whatever became of it."""
    told = []

    async def run(batch, land):
        await asyncio.sleep(0.01)
        land(batch[0], None)
        await asyncio.sleep(0.01)
        if "broken" in batch:
            raise StageError("broken")
        land_all(batch, land)

    async def scene():
        coalescer = Coalescer(run, lambda _: None, 8, 1, Hears(told))
        names = ("alone", "one", "other", "cancelled", "broken")
        tasks = [asyncio.create_task(coalescer.submit([name], later())) for name in names]
        await asyncio.sleep(0)
        assert told[-1] == (4, 5)
        tasks[3].cancel()
        await tasks[0]
        while not tasks[1].done():
            await asyncio.sleep(0.002)
        tasks.append(asyncio.create_task(coalescer.submit(["again"], later())))
        await asyncio.sleep(0)
        assert told[-1] == (1, 3)
        assert [type(each) for each in await asyncio.gather(*tasks[2:5], return_exceptions=True)] == [
            StageError,
            asyncio.CancelledError,
            StageError,
        ]
        await tasks[5]
        before = asyncio.create_task(coalescer.submit(["before"], later()))
        await asyncio.sleep(0)
        await coalescer.submit(["late"], time.monotonic() + 0.005)
        assert not before.done()
        await before
        await coalescer.submit(["last"], later())
        assert told[-1] == (1, 1)

    asyncio.run(scene())


def test_who_was_answered_is_here_no_more_when_the_next_leave():
    """Alone or not: it would count as company that is here already."""
    told = []

    async def run(batch, land):
        await asyncio.sleep(0.01)
        land_all(batch, land)

    async def scene():
        coalescer = Coalescer(run, None, 2, 1, Hears(told))
        await asyncio.gather(*(coalescer.submit([n], later()) for n in range(4)))

    asyncio.run(scene())
    assert told[-2:] == [(3, 3), (1, 1)]


@pytest.mark.parametrize("clients", [1, 2, 3, 4, 9])
def test_nobody_waits_for_company_that_can_t_come(clients):
    """Few who ask again once they are answered: those who are here are all there are, however fast they ask."""
    answered, enough = [], asyncio.Event()

    async def run(batch, land):
        for query in batch:  # who is done sooner asks again sooner
            await asyncio.sleep(0.002)
            land(query, None)

    async def client(coalescer):
        while True:
            await coalescer.submit([object()], later())
            answered.append(1)
            if len(answered) == 40 * clients:
                enough.set()

    async def scene():
        coalescer = Coalescer(run, None, 32, 2, Pace(10.0))
        tasks = [asyncio.create_task(client(coalescer)) for _ in range(clients)]
        try:
            await asyncio.wait_for(enough.wait(), 8)
        finally:
            for task in tasks:
                task.cancel()

    asyncio.run(scene())


@pytest.mark.parametrize(("clients", "most"), [(2, {1}), (5, {3, 4, 5})])
def test_two_who_think_before_they_ask_again_leave_alone(clients, most):
    """Each has a core, and would wait for as long as the other thinks; of more, all do who do not think just then."""
    sizes = []

    async def run(batch, land):
        sizes.append(len(batch))
        await asyncio.sleep(0.005)
        land_all(batch, land)

    async def client(coalescer):
        for _ in range(30):
            await coalescer.submit([object()], later())
            await asyncio.sleep(0.003)

    async def scene():
        coalescer = Coalescer(run, None, 32, 2, Pace(0.05))
        await asyncio.gather(*(client(coalescer) for _ in range(clients)))

    asyncio.run(scene())
    assert max(sizes) in most


def test_waiting_costs_nothing():
    """While a batch is under way the pace grows: whoever looked at the clock again would see the time move away."""
    looked = []

    class Grows(Pace):
        def seconds(self, now, waiting, here):
            return now - began + 0.05

    class Looks(Coalescer):
        def _dispatch(self):
            looked.append(1)
            super()._dispatch()

    async def run(batch, land):
        await asyncio.sleep(0.2)
        land_all(batch, land)

    async def scene():
        coalescer = Looks(run, None, 8, 4, Grows(1.0))
        first = asyncio.create_task(coalescer.submit([1], later()))
        await asyncio.sleep(0.01)
        await asyncio.gather(first, coalescer.submit([2], later()))

    began = time.monotonic()
    asyncio.run(scene())
    assert 2 <= len(looked) <= 3  # as the second comes, and when it is time; the first leaves at once


def test_a_full_batch_waits_for_nobody():
    """Company is there already; the one that is left over waits for more of it."""

    async def scene():
        coalescer = Coalescer(run, None, 4, 100, busy(10.0))
        tasks = [asyncio.create_task(coalescer.submit([n], later())) for n in range(10)]
        done, left = await asyncio.wait(tasks, timeout=0.2)
        for task in left:
            task.cancel()
        return len(done), len(left)

    async def run(batch, land):
        land_all(batch, land)

    assert asyncio.run(scene()) == (9, 1)


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_enough_wait_for_no_more_of_them(runner):
    """Where many come and nothing is busy: who is one of too few waits for the pace."""
    sizes = []

    async def run(batch, land):
        sizes.append(len(batch))
        land_all(batch, land)

    async def scene():
        coalescer, now = Coalescer(run, None, 32, 2, often(1.0)), time.monotonic()
        tasks = [asyncio.create_task(coalescer.submit([n], later())) for n in range(1 + ENOUGH + 3)]
        await asyncio.sleep(0.1)
        early = sizes[:]
        await asyncio.gather(*tasks)
        assert time.monotonic() - now > 0.8
        return early

    assert runner(scene()) == [1, ENOUGH]
    assert sizes == [1, ENOUGH, 3]


def test_enough_leave_sooner_than_was_asked_for_but_wait_for_what_is_busy():
    """A timer for company is set anew, to what the busy share asks for."""
    sizes = []

    async def run(batch, land):
        sizes.append(len(batch))
        land_all(batch, land)

    async def scene():
        pace = often(1.0)
        pace.mark(asyncio.get_running_loop().time() - 1.5, True)  # busy for .78 of the last: a quarter of a second
        coalescer, now = Coalescer(run, None, 32, 2, pace), time.monotonic()
        tasks = [asyncio.create_task(coalescer.submit([n], later())) for n in range(1 + ENOUGH)]
        await asyncio.sleep(0.1)
        early = sizes[:]
        await asyncio.gather(*tasks)
        assert time.monotonic() - now < 0.8
        return early

    assert asyncio.run(scene()) == [1]
    assert sizes == [1, ENOUGH]


def test_who_has_little_time_does_not_wait_for_company():
    """Its stages need what there is."""

    async def run(batch, land):
        land_all(batch, land)

    async def scene():
        answered_alone = []
        coalescer = Coalescer(run, answered_alone.append, 8, 4, busy(2.0))
        await coalescer.submit(["first"], later())
        await asyncio.wait_for(coalescer.submit(["hurried"], time.monotonic() + 7), 1)
        assert answered_alone == []

    asyncio.run(scene())


@pytest.mark.parametrize(("max_batch", "calm", "wanted"), [(8, 1, [1, 2]), (2, 2, [1, 2, 1])])
def test_who_has_little_time_is_not_forgotten(max_batch, calm, wanted):
    """While as many batches as may are under way, or behind one that is full: it leaves as soon as one may."""
    sizes = []

    async def scene():
        landed = asyncio.Event()

        async def run(batch, land):
            sizes.append(len(batch))
            await landed.wait()
            land_all(batch, land)

        coalescer = Coalescer(run, None, max_batch, 1, busy(2.0))
        tasks = [asyncio.create_task(coalescer.submit([n], later())) for n in range(1 + calm)]
        tasks.append(asyncio.create_task(coalescer.submit(["hurried"], time.monotonic() + 7)))
        await asyncio.sleep(0.01)
        landed.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 1)

    asyncio.run(scene())
    assert sizes == wanted


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_who_would_rather_have_the_cpu_gathers_when_idle(runner):
    """A lone request leaves at once; who comes soon behind it leaves with others, unless it has little time."""
    batches = []

    async def run(batch, land):
        batches.append(batch)
        land_all(batch, land)

    async def scene():
        coalescer = Coalescer(run, None, 8, 4, Pace(0.0, 1.0))
        await coalescer.submit(["alone"], later())
        tasks = [asyncio.create_task(coalescer.submit([name], later())) for name in ("one", "other")]
        await asyncio.sleep(0.05)
        assert batches == [["alone"]]
        await asyncio.gather(*tasks)
        await asyncio.wait_for(coalescer.submit(["hurried"], time.monotonic() + 3), 0.7)

    runner(scene())
    assert batches == [["alone"], ["one", "other"], ["hurried"]]


def test_a_timer_ends_with_the_batch_it_was_for():
    """A full batch left before it was time: who is left over waits a whole pace again, and not what was left of it."""
    sizes = []

    async def scene():
        done = asyncio.Event()

        async def run(batch, land):
            sizes.append(len(batch))
            await done.wait()
            land_all(batch, land)

        coalescer = Coalescer(run, None, 4, 4, busy(0.8))
        tasks = [asyncio.create_task(coalescer.submit([0], later()))]
        await asyncio.sleep(0.02)
        tasks.append(asyncio.create_task(coalescer.submit([1], later())))
        await asyncio.sleep(0.4)
        tasks += [asyncio.create_task(coalescer.submit([n], later())) for n in range(2, 6)]
        await asyncio.sleep(0.6)
        early = sizes[:]
        done.set()
        await asyncio.gather(*tasks)
        return early

    assert asyncio.run(scene()) == [1, 4]
    assert sizes == [1, 4, 1]
