"""The parts of training, each against its plain meaning."""

import numpy as np
import pytest
import torch

from recsys.model import features, time_features
from recsys.model.towers import EmbeddedHistory, Towers
from recsys.types import CLOCK, CONTEXTS, PAD
from tests.flows.ring import log_of, quick, ring
from training.evaluation.baselines import Ease, popularity
from training.ranker.simple_orders import ORDERS, WEIGHED, Examples, best_order, fit_order, found, order_by
from training.tables.item_tables import build_tables
from training.tables.neighbours import followers
from training.towers.crops import Crops
from training.towers.loss import corrected_softmax


def random_past(batch: int, length: int, dim: int) -> EmbeddedHistory:
    """Histories of several lengths, one of them empty."""
    real = torch.ones(batch, length, dtype=torch.bool)
    real[1, : length // 2] = False
    real[2] = False
    items = torch.randn(batch, length, dim) * real[..., None]
    return EmbeddedHistory(
        items, real, torch.randint(4, real.shape), torch.randint(time_features.STEPS + 1, real.shape)
    )


def test_every_prefix_is_the_forward_pass_at_each_prefix():
    """What training computes in one pass is what serving computes for each history alone."""
    torch.manual_seed(0)
    tower = Towers(50, 3, 4, 16, contexts=(8, 9, 8, 8)).user.eval()
    past, waits = random_past(3, 12, 16), torch.randint(time_features.STEPS + 1, (3, 12))
    context = torch.randint(8, (3, 12, CLOCK + CONTEXTS))
    with torch.no_grad():
        together = tower.every_prefix(past, waits, context)
        for end in range(1, 13):
            alone = tower(EmbeddedHistory(*(part[:, :end] for part in past)), waits[:, end - 1], context[:, end - 1])
            torch.testing.assert_close(together[:, end - 1], alone, atol=1e-5, rtol=1e-4)


def test_the_loss_and_its_gradient_are_the_plain_softmax():
    """Computed some rows at a time, loss and gradients equal those of one cross entropy over all logits."""
    torch.manual_seed(0)
    users, positives, items = torch.randn(1300, 8), torch.randn(1300, 8), torch.randn(40, 8)
    temperature = torch.tensor(0.3)
    targets, negatives, expected = torch.randint(60, (1300,)), torch.randint(60, (40,)), torch.rand(40) + 0.1
    leaves = [tensor.requires_grad_() for tensor in (users, positives, items, temperature)]
    weights = torch.rand(1300)
    ours = corrected_softmax(users, targets, items, negatives, expected, positives, temperature, weights)
    negative = users @ items.T / temperature - expected.log()
    negative = negative.masked_fill(targets[:, None] == negatives, -torch.inf)
    logits = torch.cat([(users * positives).sum(1, keepdim=True) / temperature, negative], dim=1)
    losses = torch.nn.functional.cross_entropy(logits, torch.zeros(1300, dtype=torch.long), reduction="none")
    plain = (losses * weights).sum() / weights.sum()
    torch.testing.assert_close(ours, plain)
    for mine, theirs in zip(torch.autograd.grad(ours, leaves), torch.autograd.grad(plain, leaves), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


def test_a_negative_that_is_the_target_is_masked():
    """Adding the target itself to the negatives leaves the loss as it was."""
    torch.manual_seed(0)
    users, positives, items = torch.randn(4, 8), torch.randn(4, 8), torch.randn(6, 8)
    targets, negatives = torch.tensor([1, 1, 1, 1]), torch.arange(10, 16)
    plain = corrected_softmax(
        users, targets, items, negatives, torch.ones(6), positives, torch.tensor(0.1), torch.ones(4)
    )
    hit = corrected_softmax(
        users,
        targets,
        torch.cat([items, torch.randn(1, 8) * 100]),
        torch.cat([negatives, torch.tensor([1])]),
        torch.ones(7),
        positives,
        torch.tensor(0.1),
        torch.ones(4),
    )
    torch.testing.assert_close(plain, hit)


def test_a_negative_expected_more_often_weighs_less():
    """The correction takes the log of the expected count off a negative's logit."""
    users, positives, items = torch.ones(1, 2), torch.ones(1, 2), torch.ones(1, 2)
    losses = [
        float(
            corrected_softmax(
                users,
                torch.tensor([0]),
                items,
                torch.tensor([5]),
                torch.tensor([n]),
                positives,
                torch.tensor(1.0),
                torch.ones(1),
            )
        )
        for n in (1.0, 3.0)
    ]
    np.testing.assert_allclose(losses, [np.log(2), np.log(4 / 3)], rtol=1e-5)


def test_crops_are_runs_of_one_user():
    """A crop is what one user did in a row, with room for nothing on its left, and every user has one."""
    log = log_of(ring(users=20))
    seen = 0
    for crop in Crops(log, quick().tower).epoch(np.random.default_rng(0)):
        for row, whole in zip(crop.histories.items, crop.whole, strict=True):
            run = row[row != PAD].tolist()
            assert row[0] == PAD
            assert row[-len(run) :].tolist() == run
            assert whole
            assert any(log.items[log.users == user].tolist() == run for user in range(20))
            seen += 1
    assert seen == 20


def test_neighbours_are_what_follows():
    """In a ring without noise an item's best neighbours are the next ones, nearest first, and never itself."""
    log = log_of(ring(noise=0.0, items=30, users=60))
    table = followers(log, 10, 0.5, neighbours=5)
    rows, weights = table.rows, table.weights
    # catalogue rows are in order of appearance: compare ids
    ids = log.catalogue.ids
    after = [(ids[rows[row]] - ids[row]) % 30 for row in range(30)]
    assert all(0 not in steps for steps in after)
    assert np.mean([steps[0] <= 3 for steps in after]) > 0.9
    assert (np.diff(weights, axis=1) <= 0).all()


def test_ease_scores_only_what_it_knows():
    """Items with too few interactions score -inf, an item's neighbours in the ring score above the average."""
    log = log_of(ring(users=200, noise=0.1))
    minimum = int(np.median(popularity(log)))
    scores = Ease(log, 50.0, minimum).score(log.final_histories(np.arange(50)))
    assert (np.isinf(scores) == (popularity(log) < minimum)[None]).all()
    assert scores.shape == (50, len(log.catalogue))


def test_the_untaught_ranker_orders_by_recent_popularity():
    """The fallback gives the order of decayed popularity and of nothing else."""
    log = log_of(ring())
    tables = build_tables(log, Towers(len(log.catalogue), 1, 16))
    x = np.random.default_rng(0).random((40, len(features.FEATURES))).astype(np.float32) * 10
    decayed = np.log1p(tables.popularity[:40, 3])
    x[:, features.FEATURES.index("popularity_decayed")] = decayed
    with torch.no_grad():
        scores = order_by(ORDERS["popularity_decayed"])(torch.from_numpy(x)).numpy()
    assert np.argsort(-scores, kind="stable").tolist() == np.argsort(-decayed, kind="stable").tolist()


@pytest.mark.parametrize("strongest", ["popularity_decayed", "tower", "covisit_0.9"])
def test_too_few_examples_are_enough_to_choose_an_order(strongest):
    """The feature that puts the labels first is the one that is taken."""
    rng = np.random.default_rng(0)
    x = rng.random((30, 40, len(features.FEATURES))).astype(np.float32)
    label = rng.integers(0, 40, 30)
    x[np.arange(30), label, features.FEATURES.index(strongest)] = 20
    answer = np.zeros((30, 40), bool)
    answer[np.arange(30), label] = True
    assert best_order(Examples(x, answer, np.ones((30, 40), bool), np.ones(30, np.float32))) == (strongest, 1.0)


def test_fitted_weights_find_what_no_stated_order_does():
    """Where answers follow from a sum that no order states, weights fitted on one half rank the other."""
    rng = np.random.default_rng(0)
    x = rng.random((200, 40, len(features.FEATURES))).astype(np.float32)
    truth = sum(x[..., features.FEATURES.index(name)] for name in ("age", "like_mean", "content_affinity"))
    answer = truth >= np.sort(truth, axis=1)[:, -5:-4]
    examples = Examples(x, answer, np.ones_like(answer), np.ones(len(answer), np.float32))
    half = np.arange(200) < 100
    weights = fit_order(examples.at(half))
    assert tuple(weights) == WEIGHED
    with torch.no_grad():
        scores = order_by(weights)(torch.from_numpy(x[~half])).numpy()
    assert found(examples.at(~half), scores) > 0.9 > best_order(examples)[1]
