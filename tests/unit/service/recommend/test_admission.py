"""The limit of slates in flight."""

from contextlib import ExitStack, suppress

import pytest

from recsys.errors import QueryError
from service.recommend.admission import LEAST, MOST_OF_ONE, START, TARGET_SHARE, Admission


class Cores:
    """Cores that make a number of slates a second, one after the other, and a clock that they advance."""

    def __init__(self, slates_per_second, deadline=0.5, most=512):
        self.now, self.pace = 0.0, 1 / slates_per_second
        self.admission = Admission(deadline, most, lambda: self.now)
        self.taken, self.held = [], []

    def request(self):
        """Whether one more request is admitted."""
        held = self.admission.slates(1)
        with suppress(QueryError):
            held.__enter__()
            self.held.append((self.now, held))
            return True
        return False

    def serve(self):
        """Make the slate of the oldest request."""
        self.now += self.pace
        if self.held:
            came, held = self.held.pop(0)
            held.__exit__(None, None, None)
            self.taken.append(self.now - came)

    def overload(self, seconds, factor):
        """Send `factor` times the requests that the cores can answer; the offered and the admitted requests."""
        end, offered, admitted = self.now + seconds, 0, 0
        while self.now < end:
            for _ in range(factor):
                offered += 1
                admitted += self.request()
            self.serve()
        return offered, admitted


@pytest.mark.parametrize("slates_per_second", [100, 400, 2_000])
@pytest.mark.parametrize("factor", [2, 5])
def test_admitted_requests_are_answered_within_their_deadline(slates_per_second, factor):
    """On slow and on fast cores. The cores are never idle."""
    cores = Cores(slates_per_second)
    cores.overload(10, factor)
    cores.taken.clear()
    _, admitted = cores.overload(10, factor)
    assert max(cores.taken) < 0.5
    assert sorted(cores.taken)[len(cores.taken) // 2] > TARGET_SHARE * 0.5 / 5  # nor are they hardly busy
    assert admitted == pytest.approx(10 * slates_per_second, rel=0.05)


def test_a_reduced_limit_returns_to_its_start_in_quiet_times():
    """Each fast slate raises the limit. Above the start only the slates of a busy process do."""
    cores = Cores(10)
    cores.overload(60, 3)
    while cores.held:
        cores.serve()
    cores.pace = 1 / 1_000
    limits = []
    for _ in range(10_000):
        assert cores.request()
        cores.serve()
        limits.append(cores.admission.limit)
    assert limits[0] < 2 * LEAST
    assert limits == sorted(limits)
    assert limits[-1] == START


def test_a_request_for_many_users_does_not_lower_the_limit():
    """A hundred slates take four batches on idle cores, too."""
    now = [0.0]
    admission = Admission(0.5, 512, lambda: now[0])
    for _ in range(50):
        with admission.slates(100), admission.slates(100):
            assert not admission.full
            now[0] += 0.4
    assert admission.limit == START


def test_a_person_who_reads_explanations_does_not_lower_the_limit():
    """They take longer than slates, and the limit is that of the shoppers."""
    now = [0.0]
    admission = Admission(0.5, 512, lambda: now[0])
    for _ in range(50):
        with admission.slates(1, adapts=False):
            now[0] += 0.4
    assert admission.limit == START


@pytest.mark.parametrize("users", [2, 30, 100])
@pytest.mark.parametrize("most", [4, LEAST, START])
def test_requests_for_many_users_leave_room_for_single_users(users, most):
    """Half of the limit, less the places by which the last such request may exceed it."""
    admission, admitted = Admission(0.5, most), 0
    with ExitStack() as under_way:
        with suppress(QueryError):
            while admitted < START:
                under_way.enter_context(admission.slates(users))
                admitted += 1
        assert 0 < admitted < START
        room = most // 2 - (min(users, MOST_OF_ONE) - 1)
        for _ in range(room):
            under_way.enter_context(admission.slates(1))
    with ExitStack() as again:
        for _ in range(admitted):  # their places were given back
            again.enter_context(admission.slates(users))
