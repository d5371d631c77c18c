"""How many slates are let in."""

from contextlib import ExitStack, suppress

import pytest

from recsys.errors import QueryError
from service.recommend.admission import LEAST, MOST_OF_ONE, START, TARGET_SHARE, Admission


class World:
    """Cores that make so many slates a second, one after the other, and a clock that they move."""

    def __init__(self, slates_per_second, deadline=0.5, most=512):
        self.now, self.pace = 0.0, 1 / slates_per_second
        self.admission = Admission(deadline, most, lambda: self.now)
        self.taken, self.held = [], []

    def come(self):
        """One more asks; whether it is let in."""
        held = self.admission.slates(1)
        with suppress(QueryError):
            held.__enter__()
            self.held.append((self.now, held))
            return True
        return False

    def serve(self):
        """The one that waits longest gets its slate."""
        self.now += self.pace
        if self.held:
            came, held = self.held.pop(0)
            held.__exit__(None, None, None)
            self.taken.append(self.now - came)

    def overload(self, seconds, factor):
        """So many times what the cores can do."""
        end, offered, admitted = self.now + seconds, 0, 0
        while self.now < end:
            for _ in range(factor):
                offered += 1
                admitted += self.come()
            self.serve()
        return offered, admitted


@pytest.mark.parametrize("slates_per_second", [100, 400, 2_000])
@pytest.mark.parametrize("factor", [2, 5])
def test_what_is_let_in_is_answered_within_its_deadline(slates_per_second, factor):
    """On slow cores as on fast ones, and the cores are never idle: as much is let in as they can do."""
    world = World(slates_per_second)
    world.overload(10, factor)
    world.taken.clear()
    _, admitted = world.overload(10, factor)
    assert max(world.taken) < 0.5
    assert sorted(world.taken)[len(world.taken) // 2] > TARGET_SHARE * 0.5 / 5  # nor are they hardly busy
    assert admitted == pytest.approx(10 * slates_per_second, rel=0.05)


def test_a_limit_that_nobody_reaches_stays():
    """A quiet night teaches nothing about a busy day."""
    world = World(1_000)
    for learned in (START, 180):
        while world.admission.limit < learned:
            world.overload(1, 2)
        while world.held:
            world.serve()
        limit = world.admission.limit
        for _ in range(10_000):
            assert world.come()
            world.serve()
        assert world.admission.limit == limit


def test_a_whole_batch_is_always_let_in():
    """What is slow may be the store: those few are answered without it, and not sent away."""
    world = World(10)
    world.overload(60, 3)
    assert world.admission.limit == LEAST


def test_the_limit_comes_back_after_a_slow_minute():
    """From the least of it, in some seconds of full load at what the cores can do by now."""
    world = World(10)
    world.overload(60, 3)
    world.pace = 1 / 1_000
    world.overload(20, 2)
    assert world.admission.limit > 3 * LEAST


def test_a_reduced_limit_returns_to_its_start_in_quiet_times():
    """However few requests come: each fast slate raises the limit, but above the start only those of a busy process."""
    world = World(10)
    world.overload(60, 3)
    while world.held:
        world.serve()
    world.pace = 1 / 1_000
    limits = []
    for _ in range(10_000):
        assert world.come()
        world.serve()
        limits.append(world.admission.limit)
    assert limits[0] < 2 * LEAST
    assert limits == sorted(limits)
    assert limits[-1] == START


def test_never_more_than_the_setting_says():
    """However fast the cores are."""
    world = World(100_000, most=40)
    world.overload(1, 3)
    assert world.admission.limit == 40


def test_a_slate_that_breaks_gives_its_place_back():
    """Nothing is learned from it."""
    admission = Admission(0.5, 1)

    def breaks():
        with admission.slates(1):
            assert admission.full
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        breaks()
    assert not admission.full


def test_one_too_many_is_told_so():
    """In a word that both doors have a status for."""
    admission = Admission(0.5, 1)
    with admission.slates(1), pytest.raises(QueryError) as told:
        admission.slates(1).__enter__()
    assert told.value.code == "overloaded"


def test_one_that_asks_for_many_shuts_nobody_out():
    """A hundred slates take four batches even on idle cores: that is no overload, and no reason to send others away."""
    now = [0.0]
    admission = Admission(0.5, 512, lambda: now[0])
    for _ in range(50):
        with admission.slates(100), admission.slates(100):
            assert not admission.full
            now[0] += 0.4
    assert admission.limit == START


@pytest.mark.parametrize("users", [2, 30, 100])
@pytest.mark.parametrize("most", [4, LEAST, START])
def test_those_who_ask_for_many_leave_room_for_who_asks_alone(users, most):
    """However many of them come, and however low the limit: half of it, and what the last of them stands above."""
    admission, let_in = Admission(0.5, most), 0
    with ExitStack() as under_way:
        with suppress(QueryError):
            while let_in < START:
                under_way.enter_context(admission.slates(users))
                let_in += 1
        assert 0 < let_in < START
        room = most // 2 - (min(users, MOST_OF_ONE) - 1)
        for _ in range(room):
            under_way.enter_context(admission.slates(1))
    with ExitStack() as again:
        for _ in range(let_in):  # their places were given back
            again.enter_context(admission.slates(users))
