"""The statistics of experiments agree with tea-tasting, and with sums that are written out."""

import numpy as np
import pandas as pd
import pytest
import tea_tasting as tt

from training.experiments import sample_ratio
from training.experiments.ratio import Moments, adjusted, lift, ratio

COLUMNS = ["clicks", "slates", "clicks_before", "slates_before"]


@pytest.fixture(scope="module")
def users():
    """1,500 users in two groups of other sizes, whose clicks per slate hang together before and during."""
    draw = np.random.default_rng(44)
    n = 1_500
    arm = (draw.random(n) < 0.3).astype(int)
    rate = draw.beta(0.5, 2.5, n)
    slates, before = 1 + draw.negative_binomial(1, 0.2, n), draw.negative_binomial(1, 0.3, n)
    clicks = draw.binomial(slates, np.minimum(1, rate * (1 + 0.1 * arm)))
    return pd.DataFrame(
        {"arm": arm, "clicks": clicks, "slates": slates, "slates_before": before}
        | {"clicks_before": draw.binomial(before, rate)}
    )


def groups(users, columns):
    return [Moments.of(users.loc[users["arm"] == arm, columns].to_numpy(float)) for arm in (0, 1)]


def same(found, theirs):
    """Rates, difference and relative interval at 95 % of a fixed number of users, to 1e-6."""
    control, arm = found
    assert control.value == pytest.approx(theirs.control, rel=1e-6)
    assert arm.value == pytest.approx(theirs.treatment, rel=1e-6)
    assert arm.value - control.value == pytest.approx(theirs.effect_size, rel=1e-6)
    difference = np.sqrt(control.variance + arm.variance)
    assert (arm.value - control.value) / difference == pytest.approx(theirs.statistic, rel=1e-6)
    measured = lift(control, arm)
    assert np.expm1(measured.log) == pytest.approx(theirs.rel_effect_size, rel=1e-6)
    bounds = [np.expm1(measured.log + z * measured.error) for z in (-1.959963985, 1.959963985)]
    assert bounds == pytest.approx([theirs.rel_effect_size_ci_lower, theirs.rel_effect_size_ci_upper], rel=1e-6)


def test_clicks_per_slate_by_the_delta_method(users):
    """The ratio, its variance over users and the lift are those of tea-tasting."""
    metric = tt.RatioOfMeans("clicks", "slates", use_t=False, equal_var=False)
    theirs = tt.Experiment(metric=metric, variant="arm").analyze(users)["metric"]
    same([ratio(group) for group in groups(users, COLUMNS[:2])], theirs)


def test_cuped_of_clicks_per_slate(users):
    """The ratios adjusted by the period before are those of tea-tasting, and the interval is narrower."""
    metric = tt.RatioOfMeans(*COLUMNS, use_t=False, equal_var=False)
    theirs = tt.Experiment(metric=metric, variant="arm").analyze(users)["metric"]
    found = adjusted(*groups(users, COLUMNS))
    same(found, theirs)
    assert found[1].variance < 0.95 * ratio(groups(users, COLUMNS[:2])[1]).variance


@pytest.mark.parametrize("share", [0.3, 0.34])
def test_the_sample_ratio_of_one_look(users, share):
    """The chi-square test is tea-tasting's normal test without a correction."""
    metric = tt.SampleRatio(share / (1 - share), method="norm", correction=False)
    theirs = tt.Experiment(metric=metric, variant="arm").analyze(users)["metric"]
    counts = [theirs.control, theirs.treatment]
    assert sample_ratio.fixed_p(counts, [1 - share, share]) == pytest.approx(theirs.pvalue, rel=1e-6)


def test_the_sequential_sample_ratio_is_a_product_of_predictions():
    """The Bayes factor is the product of what the mixture and the shares predict for each user."""
    arrivals, shares = [0, 1, 1, 0, 1, 1, 1], [0.75, 0.25]
    seen, factor = np.zeros(2), 1.0
    for group in arrivals:
        predicted = (sample_ratio.CONCENTRATION * np.array(shares) + seen) / (sample_ratio.CONCENTRATION + seen.sum())
        factor *= predicted[group] / shares[group]
        seen[group] += 1
    assert np.exp(sample_ratio.log_factor(seen, shares)) == pytest.approx(factor)
    assert sample_ratio.sequential_p(np.ones(500, np.int64), [0.5, 0.5]) < 1e-9
    assert sample_ratio.sequential_p(np.arange(1_000) % 2, [0.5, 0.5]) == 1.0
