"""The simple orders that replace a ranker where too few examples train one."""

import numpy as np
import pytest

from recsys.model import features
from training.ranker.examples import Examples
from training.ranker.simple_orders import FITTED_FEATURES, best_order, fit_order, order_net, scores


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


def test_fitted_weights_find_what_no_fixed_order_does():
    """Where answers follow from a sum that no order has, weights fitted on one half order the other."""
    rng = np.random.default_rng(0)
    x = rng.random((200, 40, len(features.FEATURES))).astype(np.float32)
    truth = sum(x[..., features.FEATURES.index(name)] for name in ("age", "like_mean", "content_affinity"))
    answer = truth >= np.sort(truth, axis=1)[:, -5:-4]
    examples = Examples(x, answer, np.ones_like(answer), np.ones(len(answer), np.float32))
    half = np.arange(200) < 100
    weights = fit_order(examples.at(half))
    assert tuple(weights) == FITTED_FEATURES
    assert examples.at(~half).recall(scores(order_net(weights), x[~half])) > 0.9 > best_order(examples)[1]
