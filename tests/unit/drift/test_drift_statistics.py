"""The statistics of drift: sizes, p values, and their correction for the number of columns."""

import numpy as np
import pytest

from training.drift.statistics import holm, p_of_numbers, psi

DRAW = np.random.default_rng(5)


def test_the_index_of_a_shift():
    """By hand: shares (0.5, 0.5) against (0.8, 0.2) have PSI 0.3 ln 1.6 + 0.3 ln 2.5."""
    counts = np.array([50_000, 50_000]), np.array([80_000, 20_000])
    assert psi(*counts) == pytest.approx(0.3 * np.log(1.6) + 0.3 * np.log(2.5), abs=1e-3)
    assert psi(counts[0], counts[0]) == 0


def test_holm_corrects_for_all_columns():
    """The values of Holm's paper: each p times the number of those that are not smaller, never decreasing."""
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]).tolist() == []


def test_p_values_of_equal_samples_are_spread():
    """Of 400 pairs of samples of one distribution about 5 % have p below 0.05."""
    small = [p_of_numbers(DRAW.normal(size=300), DRAW.normal(size=300)) < 0.05 for _ in range(400)]
    assert 0.02 < np.mean(small) < 0.08
