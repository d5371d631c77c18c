"""The simple orders that replace a ranker where too few examples train one."""

import numpy as np
import pytest

from recsys.model import features
from training.rank.examples import Examples
from training.rank.fit_ranker import best_order


@pytest.mark.parametrize("strongest", ["popularity_decayed", "tower"])
def test_few_examples_choose_an_order(strongest):
    """The order of the feature that puts the answers first is chosen."""
    rng = np.random.default_rng(0)
    x = rng.random((30, 40, len(features.FEATURES))).astype(np.float32)
    label = rng.integers(0, 40, 30)
    x[np.arange(30), label, features.FEATURES.index(strongest)] = 20
    answer = np.zeros((30, 40), bool)
    answer[np.arange(30), label] = True
    assert best_order(Examples(x, answer, np.ones((30, 40), bool), np.ones(30, np.float32))) == (strongest, 1.0)
