"""The parts of the load generator: arrivals, users, histograms and tallies."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.arrivals import SHAPES
from loadtests.histogram import Histogram
from loadtests.tally import ANSWERED, Outcome, Tally


@pytest.mark.parametrize("name", list(SHAPES))
def test_arrivals_follow_their_shape(name):
    """Arrivals ascend, depend on the seed, and have the rate of each piece."""
    shape = SHAPES[name](200, 50)
    arrivals = np.array(list(shape.arrivals(7)))
    assert (np.diff(arrivals) > 0).all()
    assert arrivals.tolist() == list(shape.arrivals(7)) != list(shape.arrivals(8))
    start = 0.0
    for seconds, rate in shape.pieces:
        count = ((arrivals >= start) & (arrivals < start + seconds)).sum()
        assert abs(count - rate * seconds) < 5 * math.sqrt(rate * seconds)
        start += seconds
    assert start == pytest.approx(shape.seconds) == pytest.approx(50)


@given(st.lists(st.floats(0.02, 1e5), min_size=1, max_size=300), st.floats(0, 1))
def test_percentiles_are_exact_to_one_percent(times, share):
    """Compared with the sorted times; merged or read from JSON, a histogram has the same percentiles."""
    whole, half = Histogram(), Histogram()
    for index, time in enumerate(times):
        (whole if index % 2 else half).add(time)
    whole = Histogram.merged([whole, half])
    exact = sorted(times)[max(0, math.ceil(share * len(times)) - 1)]
    assert exact * 0.999 <= whole.percentile(share) <= exact * 1.011
    back = Histogram.from_json(json.loads(json.dumps(whole.to_json())))
    assert back.percentile(share) == whole.percentile(share)
    assert len(back) == len(times)


def test_a_tally_counts_by_second_and_outcome():
    """So do its JSON and the sum of the tallies of two processes."""
    tally = Tally()
    tally.add(0.5, 10.0, Outcome.WHOLE)
    tally.add(0.9, 20.0, Outcome.DEGRADED)
    tally.add(3.2, 400.0, Outcome.FAILED, "status 500")
    tally.lag.add(1.0)
    back = Tally.from_json(json.loads(json.dumps(tally.to_json())))
    first, both = Tally(), Tally()
    first.add(0.1, 30.0, Outcome.WHOLE)
    both.merge(first)
    both.merge(back)
    assert both.of(Outcome.WHOLE, end=1).most == 30.0
    assert both.count() == 1 + tally.count()
    assert both.seconds == 4
    assert not both.generator_late
    both.merge(Tally(lost_processes=1))
    assert both.generator_late
    assert "the figures of 1 of the generator's processes are missing" in both.lateness
    for each in (tally, back):
        assert each.count() == 3
        assert each.count(*ANSWERED) == 2
        assert each.seconds == 4
        assert each.share(Outcome.FAILED) == pytest.approx(1 / 3)
        assert len(each.of(*Outcome, first=1, end=4)) == 1
        assert each.words == {"status 500": 1}
        assert len(each.lag) == 1
