"""The opening and closing of a circuit breaker."""

from service.recommend.circuit_breaker import FAILURES, REST_SECONDS, CircuitBreaker


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def opened(clock):
    breaker = CircuitBreaker(clock)
    for _ in range(FAILURES):
        breaker.failed()
    return breaker


def test_it_opens_after_failures_in_a_row_and_closes_with_one_success():
    """A success between failures resets the count."""
    breaker = CircuitBreaker()
    for _ in range(FAILURES - 1):
        breaker.failed()
    breaker.succeeded()
    for _ in range(FAILURES - 1):
        breaker.failed()
    assert breaker.closed
    breaker.failed()
    assert not breaker.closed
    breaker.succeeded()
    assert breaker.closed


def test_an_open_one_gets_one_probe_each_rest():
    """A failed probe is followed by another rest. A closed breaker has no probes."""
    clock = Clock()
    breaker = opened(clock)
    assert not breaker.start_probe()
    clock.now += REST_SECONDS
    assert breaker.start_probe()
    assert not breaker.start_probe()
    clock.now += REST_SECONDS / 2
    breaker.failed()
    clock.now += REST_SECONDS / 2
    assert not breaker.start_probe()
    clock.now += REST_SECONDS
    assert breaker.start_probe()
    breaker.succeeded()
    clock.now += REST_SECONDS
    assert not breaker.start_probe()
