"""Ranks and metrics against slow, obvious versions of themselves."""

import json

import numpy as np
import pytest

from tests.flows.ring import log_of, ring
from training.evaluate import measure, places, rank_targets, same_for_all
from training.evaluation import Evaluation


def slow_place(scores, target, hidden):
    """Count one by one what stands before the target."""
    if hidden[target] or not np.isfinite(scores[target]):
        return len(scores)
    return sum(not hidden[i] and scores[i] >= scores[target] for i in range(len(scores)) if i != target)


def test_places_equal_a_count_one_by_one():
    """Whatever the scores, ties and hidden items, the place is what counting gives."""
    rng = np.random.default_rng(1)
    scores = rng.integers(5, size=(200, 30)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.2] = -np.inf
    hidden = rng.random(scores.shape) < 0.3
    targets = rng.integers(30, size=200)
    expected = [slow_place(*row) for row in zip(scores, targets, hidden, strict=True)]
    assert places(scores, targets, hidden).tolist() == expected


def test_ties_count_against_us():
    """A model that scores everything alike finds nothing."""
    flat = np.zeros((1, 5), np.float32)
    assert places(flat, np.array([2]), np.zeros((1, 5), bool)).tolist() == [4]


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_everything_seen_before_is_left_out(exclude_seen):
    """However long ago an item was seen, it is not in the way of the target, and as a target it counts as missed."""
    log = log_of(ring(users=30, steps=130), exclude_seen)
    events = np.arange(len(log))[-60:]
    scores = np.random.default_rng(2).random(len(log.catalogue)).astype(np.float32)
    ranks = rank_targets(log, events, {"x": same_for_all(scores)}, log.catalogue.available, exclude_seen)["x"]
    for event, rank in zip(events, ranks, strict=True):
        hidden = np.zeros(len(scores), bool)
        if exclude_seen:
            hidden[log.items[:event][log.users[:event] == log.users[event]]] = True
        assert rank == slow_place(scores, log.items[event], hidden)


def test_chunks_do_not_change_ranks(monkeypatch):
    """A budget of one row at a time gives the ranks of all at once."""
    log = log_of(ring(users=30))
    events = np.arange(len(log))[-50:]
    scorers = {"x": lambda histories: np.random.default_rng(3).random((1, 40)).repeat(len(histories), 0)}
    at_once = rank_targets(log, events, scorers, log.catalogue.available, True)["x"]
    monkeypatch.setattr("training.evaluate.CELLS", 1)
    assert rank_targets(log, events, scorers, log.catalogue.available, True)["x"].tolist() == at_once.tolist()


def test_metrics_are_recall_and_ndcg_of_one_relevant_item():
    """Recall counts places under 10, NDCG weighs them by 1/log2(place + 2); warm and cold are apart."""
    row = measure(np.array([0, 1, 9, 10]), np.array([0, 0, 1, 2]), np.array([True, True, False, False]))
    assert row["recall@10"] == 0.75
    assert row["ndcg@10"] == pytest.approx((1 + 1 / np.log2(3) + 1 / np.log2(11)) / 4, abs=1e-6)
    assert (row["warm_recall@10"], row["cold_recall@10"]) == (1.0, 0.5)
    assert (row["queries"], row["warm_queries"], row["cold_queries"]) == (4, 2, 2)
    # clusters {0, 1}, {2}, {3} deviate from .75 by .5, .25 and -.75
    assert row["se_recall@10"] == pytest.approx(np.sqrt(0.25 + 0.0625 + 0.5625) / 4, abs=1e-6)


def test_an_empty_segment_is_valid_json_and_a_dash():
    """Without cold users their metrics are null for programs and a dash for people."""
    row = measure(np.array([0, 50]), np.array([0, 1]), np.array([True, True]))
    names = ("popularity", "recency_popularity", "ease_decay", "tower", "two_stage")
    evaluation = Evaluation("rolling", 2, 60, 2, 0.1, dict.fromkeys(names, row))
    assert json.loads(evaluation.to_json())["rows"]["tower"]["cold_recall@10"] is None
    assert evaluation.to_markdown().count("| - |") == 5
    assert evaluation.shortfalls() == []


def test_a_baseline_ahead_of_us_is_told():
    """Where a baseline beats what is served, a sentence says in what and by how much."""
    good, bad = (measure(np.array([r]), np.array([0]), np.array([True])) for r in (0, 99))
    rows = {"popularity": good, "recency_popularity": bad, "ease_decay": bad, "tower": bad, "two_stage": bad}
    told = Evaluation("rolling", 1, 60, 1, 0.1, rows).shortfalls()
    assert told[0] == "popularity beats what is served in recall@10: 1.0000 against 0.0000."
