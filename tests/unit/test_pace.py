"""How long batches keep from each other."""

import pytest

from service.pace import MEMORY_SECONDS, Pace


class TestPace:
    """How busy it was, and what that asks for."""

    def test_idle_it_is_nothing(self):
        """Whatever it was long ago."""
        pace = Pace(1.0)
        assert pace.seconds(0.0) == 0
        pace.mark(0.0, True)
        pace.mark(30.0, False)
        assert pace.seconds(30.0) == pytest.approx(1.0)
        assert pace.seconds(30.0 + 5 * MEMORY_SECONDS) == 0

    def test_it_grows_with_the_load(self):
        """Hardly at all while something is under way half of the time, and nearly to the most where it always is."""
        found = []
        for busy in (0.1, 0.5, 0.75, 0.95):
            pace = Pace(1.0)
            for tick in range(1_000):
                pace.mark(tick / 100, True)
                pace.mark(tick / 100 + busy / 100, False)
            assert pace.share(10.0) == pytest.approx(busy, abs=0.01)
            found.append(pace.seconds(10.0))
        assert found[0] == 0
        assert found == sorted(set(found))
        assert found[1] < 0.02
        assert found[3] > 0.7

    def test_who_would_rather_wait_waits_when_idle(self):
        """As long however busy it is, until that asks for more."""
        pace = Pace(1.0, 0.01)
        assert pace.seconds(0.0) == 0.01
        pace.mark(0.0, True)
        assert pace.seconds(0.5) == 0.01
        assert pace.seconds(30.0) == pytest.approx(1.0)
