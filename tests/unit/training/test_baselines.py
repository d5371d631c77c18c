"""The baselines against dense formulas, and on a log whose next item is known."""

import pytest

from tests.flows.ring_dataset import log_of, quick, ring
from training.evaluation.ranking import metric_rows
from training.evaluation.scorers import baselines
from training.evaluation.split import split


def test_models_of_taste_learn_the_ring_and_popularity_does_not():
    """Where the next item is the next of the ring, the baselines with a history find it."""
    pytest.importorskip("implicit")
    parts = split(log_of(ring(users=600, items=120, noise=0.1)), quick())
    scorers, left_out = baselines(parts.before_test, threads=1, seed=0)
    rows = metric_rows(parts, lambda _: scorers)
    assert not left_out
    for name in ("item_knn", "ease_decay", "ials"):
        assert rows[name]["recall@10"] > rows["popularity"]["recall@10"] + 2 * rows[name]["se_recall@10"], name
