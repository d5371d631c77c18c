"""Places, recall, NDCG and the metric table, against slow and obvious versions."""

from dataclasses import replace

import numpy as np
import pytest

from recsys.kernels import time_features
from recsys.types import CLOCK
from tests.flows.ring_dataset import log_of, quick, ring
from training.encode.split import split
from training.judge.ranking import metric_row, rank_targets
from training.judge.scorers import at_newest_event, same_for_all
from training.ranking_metrics import places


def slow_place(scores, target):
    """Count the items with at least the target's score."""
    if not np.isfinite(scores[target]):
        return len(scores)
    return sum(scores[i] >= scores[target] for i in range(len(scores)) if i != target)


def row_of(ranks, query=None, users=None, warm=None, new=None):
    """A row of these places; by default each target is a query of its own user, who is warm, with an old item."""
    ranks = np.asarray(ranks)
    query = np.arange(len(ranks)) if query is None else np.asarray(query)
    users = query if users is None else np.asarray(users)
    warm = np.ones(len(ranks), bool) if warm is None else np.asarray(warm)
    new = np.zeros(len(ranks), bool) if new is None else np.asarray(new)
    return metric_row(ranks, query, users, {"all": np.ones(len(ranks), bool), "warm": warm, "cold": ~warm, "new": new})


def test_places_equal_a_slow_count():
    """With ties, hidden items and several targets of a query, each place is the count; ties count against the model."""
    rng = np.random.default_rng(1)
    scores = rng.integers(5, size=(40, 30)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.3] = -np.inf
    owner, targets = np.sort(rng.integers(40, size=200)), rng.integers(30, size=200)
    expected = [slow_place(scores[row], target) for row, target in zip(owner, targets, strict=True)]
    assert places(scores, owner, targets).tolist() == expected


@pytest.mark.parametrize("protocol", ["loo", "rolling", "horizon"])
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_each_target_is_ranked_among_all_items_that_may_be_shown(protocol, exclude_seen):
    """A seen item of any age does not compete with a target, and as a target it has the last place."""
    log = log_of(ring(users=30, steps=130), exclude_seen)
    parts = split(log, quick(), protocol)
    scores = np.random.default_rng(2).random(len(log.catalogue)).astype(np.float32)
    ranked = rank_targets(parts, lambda _: {"x": same_for_all(scores)})["x"]
    first_test = {user: min(parts.test[log.users[parts.test] == user]) for user in set(log.users[parts.test])}
    for event, place in zip(parts.test, ranked.places, strict=True):
        user = log.users[event]
        until = first_test[user] if protocol == "horizon" else event
        past = (log.users[:until] == user) & (parts.model_events[:until] | (protocol != "horizon"))
        shown = scores.copy()
        if exclude_seen:
            shown[log.items[:until][past]] = -np.inf
        assert place == slow_place(shown, log.items[event])


def test_metrics_of_one_target_are_hits_and_their_discount():
    """Recall counts places under k, NDCG weighs them by 1/log2(place + 2); segments have figures of their own."""
    row = row_of([0, 1, 9, 10], users=[0, 0, 1, 2], warm=[True, True, False, False], new=[False, True, False, True])
    assert (row["recall@10"], row["recall@20"]) == (0.75, 1.0)
    assert row["ndcg@10"] == pytest.approx((1 + 1 / np.log2(3) + 1 / np.log2(11)) / 4, abs=1e-6)
    assert (row["warm_recall@10"], row["cold_recall@10"], row["new_recall@10"]) == (1.0, 0.5, 0.5)
    assert [row[f"{segment}queries"] for segment in ("", "warm_", "cold_", "new_")] == [4, 2, 2, 2]
    # clusters {0, 1}, {2}, {3} deviate from .75 by .5, .25 and -.75
    assert row["se_recall@10"] == pytest.approx(np.sqrt(0.25 + 0.0625 + 0.5625) / 4, abs=1e-6)


def test_metrics_of_many_targets_are_shares_of_the_best_possible():
    """Three hits of twelve targets are three of ten possible; one hit of one target is all that is possible."""
    row = row_of([0, 1, 2, *range(50, 59), 1], query=[0] * 12 + [1])
    discount = 1 / np.log2(np.arange(10) + 2)
    assert row["queries"] == 2
    assert row["recall@10"] == pytest.approx((3 / 10 + 1) / 2)
    assert row["recall@20"] == pytest.approx((3 / 12 + 1) / 2)
    assert row["ndcg@10"] == pytest.approx((discount[:3].sum() / discount.sum() + discount[1]) / 2, abs=1e-6)


def test_only_the_time_of_a_query_moves():
    """History and columns stay, the clock moves with the time; without an event, or without a clock, nothing moves."""
    log = log_of(ring(users=20))
    own = log.histories(np.array([len(log) - 1, 0]))  # the first event of the log has no event before
    moved = at_newest_event(own)
    assert moved.now.tolist() == [own.times[0, -1], own.now[1]]
    assert moved.context[:, :CLOCK].tolist() == time_features.clock(moved.now).tolist()
    assert not np.array_equal(moved.context, own.context)
    untimed = at_newest_event(replace(own, context=np.zeros_like(own.context)))
    assert not untimed.context.any()
    for kept in ("items", "times", "types"):
        assert np.array_equal(getattr(moved, kept), getattr(own, kept))
