"""What has to be beaten, against slow versions and a world whose answer is known."""

import numpy as np
import pytest

from recsys.types import PAD
from tests.flows.ring import log_of, quick, ring
from training.evaluation.baselines import DECAY, Ease, Ials, ItemKnn
from training.evaluation.ranking import evaluate
from training.evaluation.scorers import baselines
from training.evaluation.split import split


def slow_knn(log, history, neighbours):
    """Cosine neighbours and their decayed votes, one item at a time."""
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


def test_item_knn_is_cosine_with_decayed_votes(monkeypatch):
    """Built some rows at a time, the neighbours and scores are those of the dense formula."""
    log = log_of(ring(users=80))
    monkeypatch.setattr(ItemKnn, "PRODUCTS", 1_000)
    histories = log.final_histories(np.arange(5))
    scores = ItemKnn(log, neighbours=40).score(histories)
    for row, items in enumerate(histories.items):
        np.testing.assert_allclose(scores[row], slow_knn(log, items[items != PAD], 40), rtol=1e-4, atol=1e-6)


def test_ease_has_no_weight_from_an_item_to_itself():
    """A history does not vote for what it holds, and an item with one interaction can't be recommended."""
    frame = ring(users=80)
    frame.loc[len(frame)] = [0, 999, frame["timestamp"].max() + 1]
    log = log_of(frame)
    ease = Ease(log, 300.0)
    assert not np.diag(ease.weights).any()
    lone = int(np.flatnonzero(log.catalogue.ids == 999)[0])
    assert np.isneginf(ease.score(log.final_histories(np.arange(3)))[:, lone]).all()


def test_ials_answers_for_users_it_never_saw():
    """Scores follow from the history alone: the same for two users with the same past, and the same each time."""
    pytest.importorskip("implicit")
    log = log_of(ring(users=80))
    twice = log.final_histories(np.array([3, 3]))
    first, second = (Ials(log[:-200], 1, seed=0, iterations=3).score(twice) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first[0], first[1])


@pytest.mark.parametrize("protocol", ["loo", "rolling", "horizon"])
def test_models_of_taste_learn_the_ring_and_popularity_does_not(protocol):
    """Where the next item is the next of the ring, what reads histories finds it in each protocol."""
    pytest.importorskip("implicit")
    parts = split(log_of(ring(users=600, items=120, noise=0.1)), quick(), protocol)
    scorers, told = baselines(parts.before_test, threads=1, seed=0)
    rows = evaluate(parts, scorers)
    assert not told
    for name in ("item_knn", "ease_decay", "ials"):
        assert rows[name]["recall@10"] > rows["popularity"]["recall@10"] + 2 * rows[name]["se_recall@10"], name
