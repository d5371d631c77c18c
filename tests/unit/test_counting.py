"""What is counted soon: nothing is lost, nobody waits for it, and a killed process loses little."""

import asyncio
import threading

import pytest

from service import compose, counting
from service.counting import LATER, MOST, Later


@pytest.fixture
def told():
    return []


def test_where_no_loop_runs_it_is_counted_at_once(told):
    """As a script has it, and a thread: nobody would come back."""
    Later().count(told.append, 3)
    assert told == [3]


def test_what_is_kept_is_told_after_a_moment(monkeypatch, told):
    """Not by the request that counts, and once; so in every loop that a process has."""
    monkeypatch.setattr(counting, "TOLD_SECONDS", 0.05)
    later = Later()

    async def two():
        later.count(told.append, 1)
        later.count(told.append, 2)
        assert told == []
        await asyncio.sleep(0.2)
        assert told == [1, 2]

    asyncio.run(two())
    told.clear()
    asyncio.run(two())


def test_many_are_told_before(told):
    """What is kept takes no more room than that, and one timer comes back however much was told meanwhile."""

    async def work():
        later, timers, loop = Later(), [], asyncio.get_running_loop()
        call_later = loop.call_later
        loop.call_later = lambda *asked: timers.append(asked) or call_later(*asked)
        for number in range(10 * MOST + 1):
            later.count(told.append, number)
        assert told == list(range(10 * MOST))
        assert len(timers) == 1
        later.tell()
        assert len(told) == 10 * MOST + 1

    asyncio.run(work())


def test_who_reads_from_another_thread_loses_nothing(told):
    """As `/metrics` may, while requests count."""
    later, done = Later(), threading.Event()

    def read():
        while not done.is_set():
            later.tell()

    async def work():
        for number in range(20_000):
            later.count(told.append, number)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for each in threads:
        each.start()
    asyncio.run(work())
    done.set()
    for each in threads:
        each.join()
    later.tell()
    assert sorted(told) == list(range(20_000))


def test_a_worker_that_stops_tells_all(told):
    """Its services' hooks do: it ends by a signal, and nothing that is left to the interpreter's end is called."""

    async def work():
        LATER.count(told.append, 7)
        assert told == []
        compose.tell_all(compose.RANKING)
        assert told == [7]

    asyncio.run(work())
