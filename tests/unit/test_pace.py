"""How long batches keep from each other."""

import pytest

from service.recommend.pace import CROWD_SECONDS, ENOUGH, MEMORY_SECONDS, PAIR, PLENTY, Pace

CROWD = 30


def evenly(rate, seconds=5.0):
    """A pace of 12 ms after so many a second came for some seconds, each into a crowd, while nothing was under way."""
    pace = Pace(0.012)
    for number in range(int(rate * seconds)):
        pace.count(number / rate, CROWD)
    return pace


class TestPace:
    """How many came, how busy it was, and what that asks for."""

    def test_idle_it_is_nothing(self):
        """Whatever it was long ago."""
        pace = Pace(1.0)
        assert pace.seconds(0.0, 1, 1) == 0
        pace.mark(0.0, True)
        pace.mark(30.0, False)
        pace.count(30.0, CROWD)
        assert pace.seconds(30.0, 1, 1) == pytest.approx(1.0)
        assert pace.seconds(30.0 + 5 * MEMORY_SECONDS, 1, 1) == 0

    def test_it_grows_with_the_load(self):
        """Hardly at all while something is under way half of the time, and nearly to the most where it always is."""
        found = []
        for busy in (0.1, 0.5, 0.75, 0.95):
            pace = Pace(1.0)
            for tick in range(1_000):
                pace.mark(tick / 100, True)
                pace.mark(tick / 100 + busy / 100, False)
            pace.count(10.0, CROWD)
            assert pace.share(10.0) == pytest.approx(busy, abs=0.01)
            found.append(pace.seconds(10.0, 1, 1))
        assert found[0] == 0
        assert found == sorted(set(found))
        assert found[1] < 0.02
        assert found[3] > 0.7

    @pytest.mark.parametrize(
        ("rate", "wanted"), [(5, 0), (20, 0), (60, 0), (80, 0), (170, 0.0062), (260, 0.012), (2_000, 0.012)]
    )
    def test_it_grows_with_how_many_come(self, rate, wanted):
        """Nothing up to one within the longest wait, the longest from three on."""
        assert evenly(rate).seconds(5.0, 1, 1) == pytest.approx(wanted, abs=2e-4)

    def test_enough_wait_for_no_more(self):
        """Unless it is busy, which asks for the same until many do."""
        pace = evenly(1_000)
        assert pace.seconds(5.0, ENOUGH - 1, ENOUGH - 1) == 0.012
        assert pace.seconds(5.0, ENOUGH, ENOUGH) == 0
        pace.mark(5.0, True)
        pace.count(7.0, CROWD)
        for waiting in (ENOUGH, PLENTY - 1):
            assert pace.seconds(7.0, waiting, waiting) == pytest.approx(0.0056, abs=2e-4)
        assert pace.seconds(7.0, PLENTY, PLENTY) == 0

    def test_who_is_here_already_is_not_waited_for(self):
        """As many are here as ever were of late: who asks again once answered is among them."""
        pace = evenly(400)
        assert pace.seconds(5.0, 1, CROWD - 1) == 0.012
        assert pace.seconds(5.0, 1, CROWD) == pace.seconds(5.0, 1, CROWD + 1) == 0
        pace.count(5.0, CROWD + 5)
        assert pace.seconds(5.0, 1, CROWD + 4) == 0.012
        for _ in range(400):
            pace.count(7.0, 4)
        assert pace.seconds(7.0, 1, 3) == 0.012
        assert pace.seconds(7.0, 1, 4) == 0  # a crowd of long ago

    @pytest.mark.parametrize(("crowd", "wanted"), [(PAIR, 0), (PAIR + 1, 0.012)])
    def test_a_pair_does_not_wait_for_each_other(self, crowd, wanted):
        """Each has a core."""
        pace = Pace(0.012)
        pace.mark(0.0, True)
        for _ in range(400):
            pace.count(9.0, crowd)
        assert pace.seconds(9.0, 1, 1) == pytest.approx(wanted, abs=1e-4)

    @pytest.mark.parametrize("crowd", [PAIR + 1, CROWD])
    @pytest.mark.parametrize("asks_again", [False, True])
    def test_a_crowd_that_has_gone_is_forgotten(self, crowd, asks_again):
        """However large it was, and whether one asks again behind it; until then it is company."""
        pace = Pace(0.012)
        pace.mark(0.0, True)
        pace.count(9.0, crowd)
        for number in range(1, 10):
            assert pace.seconds(9.0 + number / 10 * CROWD_SECONDS, 1, 1) == pytest.approx(0.012, abs=1e-4)
            if asks_again:
                pace.count(9.0 + number / 10 * CROWD_SECONDS, 1)
        pace.count(9.0 + 1.1 * CROWD_SECONDS, 1)
        assert pace.seconds(9.0 + 1.2 * CROWD_SECONDS, 1, 1) == pytest.approx(0.012, abs=1e-4)
        pace.count(9.0 + 2.15 * CROWD_SECONDS, 1)
        assert pace.seconds(9.0 + 2.2 * CROWD_SECONDS, 1, 1) == 0

    def test_a_crowd_of_before_is_forgotten_whoever_comes(self):
        """And if nobody does."""
        pace = Pace(0.012)
        pace.mark(0.0, True)
        pace.count(9.0, CROWD)
        assert pace.seconds(9.0 + 1.9 * CROWD_SECONDS, 1, 1) == pytest.approx(0.012, abs=1e-4)
        assert pace.seconds(9.0 + 2.1 * CROWD_SECONDS, 1, 1) == 0
        pace.count(9.0 + 2.2 * CROWD_SECONDS, 1)
        assert pace.seconds(9.0 + 2.3 * CROWD_SECONDS, 1, 1) == 0

    def test_a_crowd_is_forgotten_in_time_whenever_the_next_comes(self):
        """The second window begins where the first ends, and not with who comes in it."""
        pace = Pace(0.012)
        pace.mark(0.0, True)
        pace.count(9.0, CROWD)
        pace.count(9.0 + 1.9 * CROWD_SECONDS, 1)
        assert pace.seconds(9.0 + 1.95 * CROWD_SECONDS, 1, 1) == pytest.approx(0.012, abs=1e-4)
        assert pace.seconds(9.0 + 2.1 * CROWD_SECONDS, 1, 1) == 0

    def test_who_came_is_forgotten(self):
        """Nobody waits for those of some seconds ago."""
        pace = evenly(400)
        assert pace.rate(5.0) == pytest.approx(400, rel=0.01)
        assert pace.seconds(5.0 + 3 * MEMORY_SECONDS, 1, 1) == 0

    def test_who_would_rather_wait_waits_when_idle(self):
        """As long however busy it is, until that asks for more."""
        pace = Pace(1.0, 0.01)
        assert pace.seconds(0.0, 1, 1) == 0.01
        pace.mark(0.0, True)
        assert pace.seconds(0.5, 1, 1) == pace.seconds(0.5, ENOUGH, ENOUGH) == 0.01
        pace.count(30.0, CROWD)
        assert pace.seconds(30.0, 1, 1) == pytest.approx(1.0)
