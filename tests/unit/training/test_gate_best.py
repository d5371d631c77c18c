"""The gate beside the best generation of 30 days: small losses each night do not add up."""

from dataclasses import asdict

import numpy as np
import pytest

from recsys.generation.manifest import Manifest
from training.judge.gate.check import failed
from training.judge.gate.dataset_profile import DataProfile, LiveGeneration
from training.judge.gate.gate import better_before, check_model
from training.judge.gate.model_checks import Metric
from training.judge.gate.past_generations import RECENT, best_of
from training.judge.metric_table import Comparison, Evaluation

DATA = DataProfile("shop", rows=10_000, users=500, items=300)
DAY = 86_400.0
BASELINES = {"popularity": 0.05, "recency_popularity": 0.1, "ease_decay": 0.09}
SHARES = [0.91**night for night in range(10)]


def row(recall, queries=9_000):
    """Figures with the errors that the demo's data has."""
    figures = {"queries": queries, "recall@10": recall, "ndcg@10": recall / 2}
    return figures | {f"{error}{metric}": 0.0035 for metric in ("recall@10", "ndcg@10") for error in ERRORS}


ERRORS = "se_", "se_difference_"


def evaluated(share, baselines=BASELINES, protocol="rolling", queries=9_000, **rivals):
    """The evaluation of a model with this share of the first model's figures."""
    rows = {"two_stage": row(0.23 * share, queries), **{name: row(each, queries) for name, each in baselines.items()}}
    return Evaluation(protocol, 100, 300, queries, 1.0, rows, **rivals)


def published(night, evaluation, live):
    """The generation of a night as the next run reads it from its manifest."""
    best, before = evaluation.best_baseline, better_before(live, DATA, evaluation, night * DAY)
    metrics = {"protocol": evaluation.protocol, "targets": [], "two_stage": evaluation.served}
    metrics["best_baseline"] = {"name": best, **evaluation.rows[best]}
    metrics["past"] = [asdict(each) for each in before]
    manifest = Manifest(f"g{night}", night * DAY, "v", {}, {"users": 3}, {"name": "shop"}, metrics=metrics)
    return LiveGeneration.of(Manifest.from_json(manifest.to_json()))


def nights(shares, *, gone=False):
    """The failed checks of each night on which the gate refuses a model with this share of the first one's figures."""
    live, refused, share_of = None, {}, {}
    for night, share in enumerate(shares):
        rivals = {}
        if live is not None:
            found = best_of(live.past, night * DAY)
            for name, rival in (("comparison", live.id), ("best", found and found.id)):
                if rival is not None:
                    rivals[name] = Comparison(rival, row(0.23 * share), row(0.23 * share_of[rival]))
            if gone and "best" in rivals:
                rivals["best"] = Comparison(rivals["best"].live, reason="it can't be loaded (no folder)")
        evaluation = evaluated(share, **rivals)
        checks = check_model(evaluation, DATA, live)
        if lines := failed(checks):
            refused[night] = lines
        else:
            live = published(night, evaluation, live)
            share_of[live.id] = share
    return refused


@pytest.mark.parametrize(("gone", "first"), [(False, 2), (True, 3)])
def test_ten_models_that_each_lose_nine_percent_are_refused_from_the_third_on(gone, first):
    """Each is within the tolerance of the live one. Leads of two tests have larger errors than the same queries."""
    refused = nights(SHARES, gone=gone)
    assert min(refused) == first
    line, *_ = refused[first]
    assert line.startswith(f"recall@10, all queries: {'1.73 times recency_popularity' if gone else '0.1905'}, and g0, ")
    assert ("2.30 times in its own test, since it can't be loaded (no folder)" in line) == gone


@pytest.mark.parametrize("gone", [False, True])
def test_a_model_that_is_as_good_passes_each_night(gone):
    """Figures that move by some per cent in 40 nights refuse nothing."""
    assert nights([1 + 0.03 * (-1) ** night for night in range(40)], gone=gone) == {}


def test_the_error_of_a_lead():
    """In a thousand tests of 400 queries, which both models often answer alike, leads spread as the error says."""
    rng = np.random.default_rng(0)
    theirs = rng.random((1_000, 400)) < 0.2
    ours = np.where(rng.random(theirs.shape) < 0.7, theirs, rng.random(theirs.shape) < 0.8)

    def figures(values, *other):
        errors = [each.std() / 20 for each in (values, *(values - each for each in other))]
        names = "recall@10", *(f"{each}recall@10" for each in ERRORS)
        return dict(zip(names, (values.mean(), *errors), strict=False))

    leads = [
        Metric(evaluated(1.0), "", "recall@10")._lead(figures(one), figures(two, one))
        for one, two in zip(ours.astype(float), theirs.astype(float), strict=True)
    ]
    assert np.mean([error for _, error in leads]) == pytest.approx(np.std([lead for lead, _ in leads]), rel=0.1)


def test_a_generation_counts_for_thirty_days():
    """And as long as none after it was better."""
    live = published(2, evaluated(0.9), published(1, evaluated(0.95), published(0, evaluated(1.0), None)))
    assert [each.id for each in live.past] == ["g0", "g1", "g2"]
    assert best_of(live.past, 2 * DAY).id == "g0"
    assert best_of(live.past, RECENT + 1).id == "g1"
    assert best_of(live.past, RECENT + DAY + 1) is None
    assert [each.id for each in published(3, evaluated(0.97), live).past] == ["g0", "g3"]
    assert best_of(published(3, evaluated(1.1), live).past, 3 * DAY) is None
