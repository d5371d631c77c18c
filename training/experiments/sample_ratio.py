"""Whether the users of arms and control are as many as the shares say. If not, the arms' users can't be compared.

The sequential test of Lindon and Malek 2022, "Anytime-valid inference for multinomial count data": the Bayes factor of
a Dirichlet mixture around the shares. It may be read after each user. The chi-square test is for one look at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import gammaln, xlogy
from scipy.stats import chisquare

from recsys.types import F64, I64

ALPHA = 0.01
"""The probability of a false alarm over all looks. The windows of an experiment share it (`Window.level_share`)."""

CONCENTRATION = 1_000.0
"""Users that the mixture is worth: departures of about 1.6 percentage points at equal shares are found soonest."""


def log_factor(counts: F64, shares: Sequence[float]) -> F64:
    """The logarithm of the Bayes factor against the shares, [...]. counts: users by group, [..., groups]."""
    expected = np.asarray(shares) / sum(shares)
    prior = CONCENTRATION * expected
    total = counts.sum(axis=-1)
    mixture = gammaln(prior.sum()) - gammaln(prior.sum() + total) + (gammaln(prior + counts) - gammaln(prior)).sum(-1)
    found: F64 = mixture - xlogy(counts, expected).sum(axis=-1)
    return found


def sequential_p(groups: I64, shares: Sequence[float]) -> float:
    """The p-value over all looks so far. groups: the number of each user's group, in the order of first slates."""
    if not len(groups):
        return 1.0
    counts = np.cumsum(groups[:, None] == np.arange(len(shares)), axis=0, dtype=np.float64)
    return float(np.exp(-max(0.0, log_factor(counts, shares).max())))


def fixed_p(counts: Sequence[int], shares: Sequence[float]) -> float:
    """The p-value of the chi-square test, valid for one look. counts: users by group."""
    expected = np.asarray(shares) / sum(shares) * sum(counts)
    return float(chisquare(counts, expected).pvalue)
