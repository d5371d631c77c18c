"""The rate limits of keys: the arithmetic, and one count for all processes."""

import multiprocessing
import time

import pytest

from service.auth.keyring import KeyRecord
from service.auth.rate_limits import SLOTS, RateLimits


def entry(rate, burst, name="abcd"):
    return KeyRecord(id=name.rjust(4, "0"), name="shop", sha256="0" * 64, scopes=["read"], rate=rate, burst=burst)


@pytest.fixture
def path(tmp_path):
    RateLimits.create(tmp_path / "limits")
    return tmp_path / "limits"


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def allowed(limits, entry, requests=1000):
    return sum(limits.take(entry) == 0 for _ in range(requests))


def test_a_burst_and_then_the_rate(path, clock):
    """Unused requests come back at the rate, up to the burst."""
    limits, shop = RateLimits(path, clock), entry(10, 5)
    assert allowed(limits, shop) == 5
    assert limits.take(shop) == pytest.approx(0.1)
    for passed, more in ((0.05, 0), (0.05, 1), (0.3, 3), (3600, 5)):
        clock.now += passed
        assert allowed(limits, shop) == more


def test_a_key_beyond_the_rows_of_the_file_has_a_limit(path, clock):
    """In a full file it shares a row, and no more requests than its burst are allowed."""
    limits = RateLimits(path, clock)
    for number in range(SLOTS):
        limits.take(entry(1, 1, f"{number:x}"))
    assert allowed(limits, entry(1, 3, "onemore")) <= 3


def test_a_time_that_no_request_has_set_is_ignored(path, clock):
    """Such as a time from before a reboot, or from before the rate of the key was raised."""
    limits = RateLimits(path, clock)
    assert allowed(limits, entry(0.001, 5)) == 5
    clock.now = 1.0
    assert allowed(limits, entry(10, 5)) == 5


class Slow(RateLimits):
    """Yields to other processes between its read and its write."""

    def _due_of(self, *args):
        due = super()._due_of(*args)
        time.sleep(0)
        return due


def _count(path, barrier, counts):
    limits, shop = Slow(path, Clock()), entry(1, 5000)
    barrier.wait()
    counts.put(allowed(limits, shop, 4000))


def test_four_processes_together_admit_exactly_the_burst(path):
    """With a stopped clock."""
    context = multiprocessing.get_context("fork")
    barrier, counts = context.Barrier(4), context.Queue()
    workers = [context.Process(target=_count, args=(path, barrier, counts)) for _ in range(4)]
    for worker in workers:
        worker.start()
    admitted = [counts.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert sum(admitted) == 5000
    assert sum(count > 0 for count in admitted) > 1
