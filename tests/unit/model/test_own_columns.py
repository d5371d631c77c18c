"""The ranker learns from a dataset's own columns: in a made-up shop users take items near the price that they usually
pay.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from recsys.model import features
from recsys.types import CANDIDATES, PAD, Candidates, Histories
from tests.unit.model.test_features import tables_of
from training.config import RankerConfig
from training.rank.examples import Examples
from training.rank.fit_net import fit_net, scores

ITEMS, OFFERED, QUERIES, TESTED = 500, 40, 800, 300


@pytest.fixture(scope="module")
def examples():
    """Queries of users who took five items near their usual price, and take one more of 40 candidates."""
    rng = np.random.default_rng(0)
    price = rng.uniform(0, 100, ITEMS)
    tables = replace(tables_of(ITEMS, rng), own=price[:, None].astype(np.float32))
    past = Histories.empty(np.full(QUERIES + TESTED, 1.7e9))
    items = np.full((len(past), CANDIDATES), PAD, np.int32)
    answer = np.zeros((len(past), OFFERED), bool)
    for query, usual in enumerate(rng.uniform(10, 90, len(past))):
        near = np.exp(-(((price - usual) / 5) ** 2))
        *taken, wanted = rng.choice(ITEMS, 6, replace=False, p=near / near.sum())
        past.put(query, np.array(taken, np.int32), 1.69e9 + np.arange(5.0), np.zeros(5, np.uint8))
        others = rng.choice(np.setdiff1d(np.arange(ITEMS), [*taken, wanted]), OFFERED - 1, replace=False)
        items[query, :OFFERED] = rng.permutation([*others, wanted])
        answer[query] = items[query, :OFFERED] == wanted
    offered = Candidates(items, np.zeros(items.shape, np.float32), np.zeros(items.shape, np.uint16))
    x = features.build(tables, past, offered)[:, :OFFERED]
    return Examples(x, answer, np.ones_like(answer), np.ones(len(past), np.float32))


def test_the_price_is_worth_more_than_all_other_features(examples):
    """Recall@10 of a ranker with the column; chance is a quarter, which the ranker without the column has."""

    def recall(width):
        torch.manual_seed(0)
        some = replace(examples, x=np.ascontiguousarray(examples.x[..., :width]))
        known, tested = some.at(np.arange(QUERIES)), some.at(np.arange(QUERIES, QUERIES + TESTED))
        return tested.recall(scores(fit_net([known], RankerConfig(epochs=5), np.random.default_rng(0)), tested.x))

    assert recall(examples.x.shape[2]) > 0.75
    assert recall(len(features.FEATURES)) < 0.35
