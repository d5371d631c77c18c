"""When a stage is done without, and how it comes back."""

import pytest

from service.recommend.circuit_breaker import FAILURES, PATIENCE, REST_SECONDS, Breaker


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return Breaker(clock)


def test_it_opens_after_failures_in_a_row_and_closes_with_one_success(breaker):
    """One that fails now and then is asked all the same."""
    for _ in range(FAILURES - 1):
        breaker.failed()
    breaker.worked(0.01)
    for _ in range(FAILURES - 1):
        breaker.failed()
    assert breaker.closed
    breaker.failed()
    assert not breaker.closed
    breaker.worked(0.01)
    assert breaker.closed


def opened(breaker, clock):
    """One that may be tried again."""
    for _ in range(FAILURES):
        assert breaker.failed()
    clock.now += REST_SECONDS


@pytest.mark.parametrize("seconds", [PATIENCE / 2, 1.0])
def test_an_open_one_is_tried_now_and_then(breaker, clock, seconds):
    """By one query each REST_SECONDS."""
    for _ in range(FAILURES):
        breaker.failed()
    assert not breaker.tries(seconds)
    clock.now += REST_SECONDS
    assert breaker.tries(seconds)
    assert not breaker.tries(seconds)
    clock.now += REST_SECONDS
    assert breaker.tries(seconds)


def test_who_has_little_time_takes_nobody_s_turn(breaker, clock):
    """What it finds does not count where the stage is late, and a flood of its kind would have every turn."""
    opened(breaker, clock)
    assert breaker.tries(PATIENCE / 2)
    assert breaker.tries(1.0)
    clock.now += REST_SECONDS / 2
    assert not breaker.tries(PATIENCE / 2)
    assert not breaker.tries(1.0)
    clock.now += REST_SECONDS
    assert breaker.tries(1.0)
    assert not breaker.tries(PATIENCE / 2)  # somebody is finding it out


def test_a_try_that_told_nothing_is_given_back(breaker, clock):
    """After as long again as it waited; to those who may have it, and only where nobody took another since."""
    opened(breaker, clock)
    assert breaker.tries(1.0)
    clock.now += 0.01
    breaker.untold(breaker.tried)
    assert not breaker.closed
    assert not breaker.tries(1.0)
    clock.now += 0.011
    assert breaker.tries(1.0)
    clock.now += REST_SECONDS
    assert breaker.tries(PATIENCE / 2)
    hoped = breaker.tried
    clock.now += 0.01
    assert breaker.tries(1.0)
    breaker.untold(hoped)
    clock.now += 0.02
    assert not breaker.tries(1.0)
    assert not breaker.tries(PATIENCE / 2)


def test_who_would_see_a_slow_stage_has_the_turns_of_those_who_see(breaker, clock):
    """Twice what is usual is enough; what counts as a failure takes longer."""
    for _ in range(100):
        breaker.worked(0.08)
    opened(breaker, clock)
    assert breaker.tries(0.1)
    assert not breaker.tries(0.1)
    assert breaker.tries(0.2)
    assert not breaker.failed(0.2)


def test_impatient_queries_open_nothing(breaker):
    """What was left behind sooner than a stage may take did not fail."""
    for _ in range(10 * FAILURES):
        assert not breaker.failed(PATIENCE / 2)
    assert breaker.closed
    for _ in range(FAILURES):
        assert breaker.failed(2 * PATIENCE)
    assert not breaker.closed


def test_a_stage_that_is_slow_as_usual_is_not_failing(breaker):
    """Leaving it behind before four times what it takes says nothing of it."""
    for _ in range(100):
        breaker.worked(0.05)
    for _ in range(10 * FAILURES):
        breaker.failed(0.15)
    assert breaker.closed
    for _ in range(FAILURES):
        breaker.failed(0.25)
    assert not breaker.closed


def test_too_little_time_is_half_of_what_is_usual(breaker):
    """It follows what batches take, slowly."""
    for _ in range(100):
        breaker.worked(0.2)
    assert breaker.enough(0.15)
    assert not breaker.enough(0.05)
    for _ in range(100):
        breaker.worked(0.02)
    assert breaker.enough(0.05)
