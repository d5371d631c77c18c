"""The baselines against dense formulas, and on a log whose next item is known."""

import numpy as np
import pytest

from recsys.types import PAD
from tests.flows.ring_dataset import log_of, quick, ring
from training.encode.split import split
from training.fit.item_tables import popularity
from training.fit.neighbours import DECAY, Ease
from training.judge.baselines import ItemKnn
from training.judge.ranking import metric_rows
from training.judge.scorers import baselines


def dense_knn(log, history, neighbours):
    """Cosine neighbours and their decayed sum, one item at a time."""
    x = np.zeros((len(log.user_ids), len(log.catalogue)))
    x[log.users, log.items] = 1
    norm = np.maximum(np.sqrt(x.sum(axis=0)), 1)
    cosine = (x.T @ x) / np.outer(norm, norm)
    np.fill_diagonal(cosine, 0)
    scores = np.zeros(len(norm))
    for steps, item in enumerate(reversed(history)):
        best = np.argsort(-cosine[item], kind="stable")[:neighbours]
        scores[best] += DECAY**steps * cosine[item, best]
    return scores


def test_item_knn_is_cosine_with_decayed_weights(monkeypatch):
    """Computed in blocks, the neighbours and scores are those of the dense formula."""
    log = log_of(ring(users=80))
    monkeypatch.setattr(ItemKnn, "PRODUCTS", 1_000)
    histories = log.final_histories(np.arange(5))
    scores = ItemKnn(log).score(histories)
    for row, items in enumerate(histories.items):
        np.testing.assert_allclose(scores[row], dense_knn(log, items[items != PAD], 40), rtol=1e-4, atol=1e-6)


def test_ease_has_no_weight_from_an_item_to_itself():
    """An item has no weight on itself, and an item with too few interactions can't be recommended."""
    log = log_of(ring(users=200, noise=0.1))
    minimum = int(np.median(popularity(log)))
    ease = Ease(log, 50.0, minimum)
    assert not np.diag(ease.weights).any()
    scores = ease.score(log.final_histories(np.arange(50)))
    assert (np.isinf(scores) == (popularity(log) < minimum)[None]).all()


def test_models_of_taste_learn_the_ring_and_popularity_does_not():
    """Where the next item is the next of the ring, the baselines with a history find it."""
    pytest.importorskip("implicit")
    parts = split(log_of(ring(users=600, items=120, noise=0.1)), quick())
    scorers, left_out = baselines(parts.before_test, threads=1, seed=0)
    rows = metric_rows(parts, lambda _: scorers)
    assert not left_out
    for name in ("item_knn", "ease_decay", "ials"):
        assert rows[name]["recall@10"] > rows["popularity"]["recall@10"] + 2 * rows[name]["se_recall@10"], name
