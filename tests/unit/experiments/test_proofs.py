"""The simulation behind `make proofs`, on a few experiments."""

from dataclasses import replace

import numpy as np
import pytest

from training.experiments.proofs import faults, look, simulate
from training.experiments.simulation import Population, draw

SMALL = Population("small", 400, 0.5, 0.2, 0.3)


def test_the_promises_hold_and_intervals_for_one_look_break_them():
    """Of 200 experiments without a difference; daily looks at intervals for one look show one far too often."""
    for looks in simulate(SMALL, 200, np.random.default_rng(1)):
        assert looks.judged.all()
        assert faults(looks, 0.0) == []
        (fault,) = faults(replace(looks, shown=looks.naive), 0.0)
        assert fault.startswith("a difference is shown where there is none in ")


def test_a_broken_assignment_is_found():
    """An arm of 58 % in place of half: the sequential test refuses each sample ratio."""
    drawn = draw(replace(SMALL, users=4_000, share=0.58), 5, np.random.default_rng(1))
    assert look(drawn, SMALL)[0].refused.all()


def test_the_lift_that_is_drawn():
    """The arm's clicks per slate over the control's, of many users."""
    drawn = draw(Population("large", 40_000, 0.5, 0.2, 0.3, lift=0.2), 1, np.random.default_rng(1))
    rates = [
        drawn.clicks[0, group, -1].sum() / drawn.slates[0, group, -1].sum() for group in (drawn.arm[0], ~drawn.arm[0])
    ]
    assert rates[0] / rates[1] == pytest.approx(1.2, abs=0.05)
